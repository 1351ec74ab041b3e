// wgmma. PTX ISA, "Asynchronous Warpgroup Level Matrix Instructions"; canonical layouts of descriptors: CUTLASS,
// cute/arch/mma_sm90_desc.hpp.
//
// A descriptor gives, in units of 16 bytes: bits 0-13 the start, 16-29 the leading offset L, 32-45 the stride offset S;
// bits 62-63 the swizzle: 0 none, 1 of 128, 2 of 64, 3 of 32 bytes. With T the 8 elements of 16 bytes, an element of
// row r (of A; column of B) and k lies, before the swizzle, at
//
//   K-major,  none     (r / 8) S + (r % 8) 16 + (k / T) L              + k % T
//             span B   (r / 8) S + (r % 8) B  + (k / T) 16             + k % T
//   MN-major, none     (r / T) S + (k / 8) L  + (k % 8) 16             + r % T
//             span B   (r / (B/2)) L + (k / 8) S + (k % 8) B + (r % (B/2) / T) 16 + r % T
//
// Accumulator i of a thread is that of row 16 warp + lane / 4 (+ 8 for i % 4 >= 2), column 8 (i / 4) + 2 (lane % 4) +
// i % 2.
#include "simt/warpgroup.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "simt/executor.h"
#include "simt/matrix_sum.h"
#include "simt/swizzle.h"

#define FC_CALLER uintptr_t(__builtin_return_address(0))

namespace fastconv::simt {

namespace {

constexpr int kStep = 16;  // k of one wgmma
constexpr int kT = 8;      // elements of 16 bytes
constexpr int kRows = 64;  // of A

struct Layout {
  int64_t start, leading, stride;
  int span;  // bytes of the swizzle, 0 for none
};

Layout decode(uint64_t descriptor) {
  static constexpr int kSpans[4] = {0, 128, 64, 32};
  const auto field = [&](int bit) { return int64_t(descriptor >> bit & 0x3fff) * 16; };
  return {field(0), field(16), field(32), kSpans[descriptor >> 62]};
}

// Where the 16 bytes begin that hold the element: bytes from the start of the block's shared memory, not swizzled.
int64_t chunk_offset(const Layout& l, bool transposed, int r, int k) {
  if (!transposed)
    return l.span ? r / 8 * l.stride + r % 8 * l.span + k / kT * 16
                  : r / 8 * l.stride + r % 8 * 16 + k / kT * l.leading;
  if (!l.span) return r / kT * l.stride + k / 8 * l.leading + k % 8 * 16;
  const int wide = l.span / 2;
  return r / wide * l.leading + k / 8 * l.stride + k % 8 * l.span + r % wide / kT * 16;
}

// Visits each 16-byte chunk of an operand once: (its first row and k, its address).
template <class Visit>
void for_each_chunk(const Layout& l, bool transposed, int rows, const char* shared, Visit&& visit) {
  const int step_r = transposed ? kT : 1, step_k = transposed ? 1 : kT;
  for (int r = 0; r < rows; r += step_r)
    for (int k = 0; k < kStep; k += step_k)
      visit(r, k, swizzled(const_cast<char*>(shared) + l.start + chunk_offset(l, transposed, r, k), l.span));
}

// An operand as rows of kStep floats.
void read_operand(float (*rows)[kStep], uint64_t descriptor, bool transposed, int count, const char* shared,
                  MatrixType type) {
  for_each_chunk(decode(descriptor), transposed, count, shared, [&](int r, int k, const char* chunk) {
    uint16_t bits[kT];
    std::memcpy(bits, chunk, sizeof bits);
    for (int e = 0; e < kT; ++e) rows[transposed ? r + e : r][transposed ? k : k + e] = half_element(type, bits[e]);
  });
}

void compute(const PendingProduct& p) {
  static float a[kRows][kStep], b[256][kStep];
  if (p.a_registers[0] == nullptr) {
    read_operand(a, p.a_descriptor, p.shape.a_transposed, kRows, p.shared, p.shape.type);
  } else {
    for (int t = 0; t < kWarpgroup; ++t)
      for (int i = 0; i < 8; ++i)
        a[t / 32 * 16 + t % 32 / 4 + i / 2 % 2 * 8][t % 4 * 2 + i % 2 + i / 4 * 8] =
            half_element(p.shape.type, uint16_t(p.a_registers[t][i / 2] >> (16 * (i % 2))));
  }
  read_operand(b, p.b_descriptor, p.shape.b_transposed, p.shape.n, p.shared, p.shape.type);
  const Numerics numerics =
      Executor::get().options().numerics == Numerics::kFloat32 ? Numerics::kFloat32 : Numerics::kHopper;
  for (int t = 0; t < kWarpgroup; ++t)
    for (int i = 0; i < p.shape.n / 2; ++i) {
      const int row = t / 32 * 16 + t % 32 / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + t % 4 * 2 + i % 2;
      float& d = p.d[t][i];
      d = tensor_core_sum(p.accumulate ? d : 0.0f, a[row], b[column], kStep, p.shape.type, numerics);
    }
}

struct ProductOperands {
  float* d;
  const uint32_t* a_registers;
  uint64_t a, b;
  bool accumulate;
  ProductShape shape;
  uint32_t group;

  bool agrees(const ProductOperands& o) const {
    return a == o.a && b == o.b && accumulate == o.accumulate && shape.n == o.shape.n && shape.type == o.shape.type &&
           shape.a_transposed == o.shape.a_transposed && shape.b_transposed == o.shape.b_transposed && group == o.group;
  }
};

void require_layout(const char* which, uint64_t descriptor, bool transposed, int rows, uintptr_t pc) {
  Executor& executor = Executor::get();
  const Layout l = decode(descriptor);
  const auto refuse = [&](const char* kind, const std::string& what) {
    executor.fail(kind, std::string("wgmma by ") + executor.who() + ": the descriptor of " + which + " " + what,
                  {{"here", pc}});
  };
  // Rows of a span repeat their pattern every eight: a matrix starts with one, at whatever chunk of its first row.
  if (l.span && l.start / l.span % 8)
    refuse("misaligned", "starts at byte " + std::to_string(l.start) +
                             ", but the pattern of its swizzle at multiples of " + std::to_string(8 * l.span));
  if (descriptor >> 49 & 7) refuse("wgmma", "has a base offset, which matrices at the start of a pattern do without");
  int64_t last = 0;
  for_each_chunk(l, transposed, rows, nullptr,
                 [&](int, int, const char* at) { last = std::max(last, int64_t(reinterpret_cast<uintptr_t>(at))); });
  if (last + 16 > int64_t(kSharedArena))
    refuse("out of bounds", "reaches byte " + std::to_string(last + 16) + " of shared memory");
}

// All 128 threads have come: the product is issued.
void issue(Executor& executor, Warpgroup& group, int first_thread, uintptr_t pc) {
  const auto& first = *static_cast<ProductOperands*>(group.operands[0]);
  PendingProduct product{first.group, first.shape, first.accumulate, {}, {}, executor.shared(), first.a, first.b};
  for (int t = 0; t < kWarpgroup; ++t) {
    const auto& operands = *static_cast<ProductOperands*>(group.operands[t]);
    if (!operands.agrees(first))
      executor.fail("divergence",
                    "threads of a warpgroup start different wgmmas: descriptors, shape and group must be the same in " +
                        executor.who(first_thread) + " and " + executor.who(first_thread + t),
                    {{"here", pc}});
    product.d[t] = operands.d;
    product.a_registers[t] = operands.a_registers;
  }
  if (first.a_registers == nullptr) require_layout("A", first.a, first.shape.a_transposed, kRows, pc);
  require_layout("B", first.b, first.shape.b_transposed, first.shape.n, pc);
  if (executor.options().check) {
    if (group.agent < 0)
      group.agent = executor.new_agent(int(executor.current().cluster_rank),
                                       "wgmma of the warpgroup of " + executor.who(first_thread));
    // Every warp must have seen what it multiplies.
    for (int warp = 0; warp < 4; ++warp) {
      const auto read = [&](int, int, const char* chunk) {
        executor.checker().access(uintptr_t(chunk), 16, Access::kRead, group.agent, first.group, true, pc,
                                  first_thread + 32 * warp);
      };
      if (first.a_registers == nullptr)
        for_each_chunk(decode(first.a), first.shape.a_transposed, kRows, executor.shared(), read);
      for_each_chunk(decode(first.b), first.shape.b_transposed, first.shape.n, executor.shared(), read);
    }
  }
  if (group.pending.empty() && executor.eager())
    compute(product);
  else
    group.pending.push_back(product);
}

void start(ProductOperands& mine, uintptr_t pc) {
  Executor& executor = Executor::get();
  Thread& thread = executor.current();
  const int within = thread.id % executor.block_threads() / kWarpgroup * kWarpgroup;  // the warpgroup's first thread
  const int first_thread = thread.id - thread.id % executor.block_threads() + within;
  const auto& shape = mine.shape;
  if (shape.n < 8 || shape.n > 256 || shape.n % 8)
    executor.fail("wgmma", "wgmma of n = " + std::to_string(shape.n) + ": expected a multiple of 8 up to 256",
                  {{"here", pc}});
  if (within + kWarpgroup > executor.block_threads())
    executor.fail("wgmma", "wgmma by " + executor.who() + ": its block ends within its warpgroup of 128 threads",
                  {{"here", pc}});
  if (!thread.products_fenced)
    executor.fail(
        "wgmma",
        "missing wgmma.fence: " + executor.who() +
            " starts a wgmma, and since its start, or since it last waited, no fence has ordered its registers",
        {{"here", pc}});
  mine.group = thread.product_group;
  const auto in_flight = [&](const void* registers, size_t bytes, bool written) {
    thread.in_flight.push_back({uintptr_t(registers), uintptr_t(registers) + bytes, mine.group, written});
  };
  in_flight(mine.d, size_t(shape.n) / 2 * sizeof(float), true);
  if (mine.a_registers) in_flight(mine.a_registers, 16, false);
  Warpgroup& group = executor.warpgroup();
  if (group.arrived > 0 && group.at != pc)
    executor.fail("divergence", "warps of one warpgroup meet in different wgmmas: " + executor.who() + " in this one",
                  {{"here", pc}, {"others", group.at}});
  for (int t = first_thread; t < first_thread + kWarpgroup; ++t)
    if (executor.finished(t))
      executor.fail("divergence", executor.who() + " waits in wgmma for " + executor.who(t) + ", which has ended",
                    {{"here", pc}});
  group.at = pc;
  group.operands[thread.id - first_thread] = &mine;
  if (++group.arrived < kWarpgroup) {
    executor.suspend("wgmma, for its warpgroup", pc);
    return;
  }
  issue(executor, group, first_thread, pc);
  group.arrived = 0;
  for (int t = first_thread; t < first_thread + kWarpgroup; ++t)
    if (t != thread.id) executor.wake(t);
}

// .sync.aligned instructions without operands: whole warps come to them.
void whole_warp(const char* instruction, uintptr_t pc) {
  int nothing = 0;
  Executor::get().rendezvous(instruction, ~0u, &nothing, [](void* const*, uint32_t) {}, pc, true);
}

}  // namespace

void Executor::check_registers(uintptr_t address, size_t size, Access kind, void* caller) {
  for (const RegistersInFlight& registers : current_->in_flight)
    if (address < registers.end && address + size > registers.begin && (registers.written || kind != Access::kRead))
      fail("wgmma",
           who() + (kind == Access::kRead ? " reads" : " writes") +
               " a register of a wgmma in flight: nothing has waited for it",
           {{"here", uintptr_t(caller)}});
}

void wgmma_fence() {
  whole_warp("wgmma.fence", FC_CALLER);
  Executor::get().current().products_fenced = true;
}

void wgmma_shared(float* d, uint64_t a, uint64_t b, bool accumulate, ProductShape shape) {
  ProductOperands mine{d, nullptr, a, b, accumulate, shape, 0};
  start(mine, FC_CALLER);
}

void wgmma_registers(float* d, const uint32_t* a, uint64_t b, bool accumulate, ProductShape shape) {
  ProductOperands mine{d, a, 0, b, accumulate, shape, 0};
  start(mine, FC_CALLER);
}

void wgmma_commit() {
  whole_warp("wgmma.commit_group", FC_CALLER);
  ++Executor::get().current().product_group;
}

void wgmma_wait(int groups_left) {
  whole_warp("wgmma.wait_group", FC_CALLER);
  Executor& executor = Executor::get();
  Thread& thread = executor.current();
  Warpgroup& group = executor.warpgroup();
  const uint32_t committed = thread.product_group - 1;
  const uint32_t done = committed > uint32_t(groups_left) ? committed - uint32_t(groups_left) : 0;
  while (!group.pending.empty() && group.pending.front().group <= done) {
    compute(group.pending.front());
    group.pending.pop_front();
  }
  auto& in_flight = thread.in_flight;
  const auto left = std::remove_if(in_flight.begin(), in_flight.end(),
                                   [&](const RegistersInFlight& registers) { return registers.group <= done; });
  if (left != in_flight.end()) thread.products_fenced = false;
  in_flight.erase(left, in_flight.end());
  if (executor.options().check && group.agent >= 0) executor.clocks().wait_agent(thread.id, group.agent, done);
}

bool elect() {
  whole_warp("elect.sync", FC_CALLER);
  return Executor::get().current().id % 32 == 0;
}

}  // namespace fastconv::simt
