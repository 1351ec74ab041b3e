#include "simt/executor.h"

#include <signal.h>
#include <sys/mman.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <new>
#include <numeric>
#include <utility>

namespace fastconv::simt {

Self* self = nullptr;

namespace {

Dim3 coordinates(uint64_t index, const Dim3& extent) {
  return {unsigned(index % extent.x), unsigned(index / extent.x % extent.y), unsigned(index / extent.x / extent.y)};
}

// A NaN in each of float32, float16 and bfloat16: what a read of memory that nobody wrote gives in an unchecked run.
constexpr unsigned char kPoison = 0xFF;

constexpr size_t kRedZone = 64;

// Ctrl-C during a launch: Python's own handler would only note it until the launch has ended.
volatile std::sig_atomic_t interrupted_ = 0;

class Interruptible {
 public:
  Interruptible() {
    interrupted_ = 0;
    struct sigaction ours{};
    ours.sa_handler = [](int) { interrupted_ = 1; };
    active_ = sigaction(SIGINT, nullptr, &before_) == 0 && before_.sa_handler != SIG_IGN &&
              sigaction(SIGINT, &ours, nullptr) == 0;
  }
  ~Interruptible() {
    if (active_) sigaction(SIGINT, &before_, nullptr);
  }

 private:
  struct sigaction before_{};
  bool active_;
};

}  // namespace

Executor& Executor::get() {
  static Executor executor;
  return executor;
}

Executor::Executor() : checker_(*this) {
  // Arenas are aligned to their size: swizzles are functions of address bits.
  constexpr size_t kBytes = (kMaxCluster + 1) * kSharedArena;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  shared_ = reinterpret_cast<char*>((uintptr_t(memory) + kSharedArena - 1) & ~uintptr_t(kSharedArena - 1));
}

std::string Executor::who(int thread) const {
  return "thread " + text(threads_[thread].thread_idx) + " of block " + text(threads_[thread].block_idx);
}

std::string Executor::actor_name(int actor, uint64_t cluster) const {
  if (actor >= 2 * thread_count_) {
    const size_t agent = size_t(actor) - size_t(2 * thread_count_);
    const bool here = agent < agents_.size() && cluster == cluster_index_;
    return here ? agents_[agent].name : "an asynchronous copy of block " + text(block_of(cluster, 0));
  }
  const bool copier = actor >= thread_count_;
  const int thread = copier ? actor - thread_count_ : actor;
  return std::string(copier ? "cp.async of " : "") + "thread " +
         text(coordinates(uint64_t(thread % block_threads_), block_)) + " of block " +
         text(block_of(cluster, thread / block_threads_));
}

int Executor::new_agent(int rank, std::string name) {
  agents_.push_back({rank, std::move(name)});
  return clocks_.new_agent();
}

int Executor::rank_of_actor(int actor) const {
  if (actor < 2 * thread_count_) return rank(actor % thread_count_);
  const size_t agent = size_t(actor) - size_t(2 * thread_count_);
  return agent < agents_.size() ? agents_[agent].rank : 0;
}

// Blocks of a cluster are neighbours in the grid.
Dim3 Executor::block_of(uint64_t cluster, int rank) const {
  const Dim3 clusters{grid_.x / cluster_.x, grid_.y / cluster_.y, grid_.z / cluster_.z};
  const Dim3 first = coordinates(cluster, clusters), within = coordinates(uint64_t(rank), cluster_);
  return {first.x * cluster_.x + within.x, first.y * cluster_.y + within.y, first.z * cluster_.z + within.z};
}

void Executor::fail(std::string kind, std::string headline, std::vector<Note> notes) {
  report_ = std::make_unique<Report>(Report{std::move(kind), std::move(headline), std::move(notes)});
  Fiber dropped;
  switch_fiber(dropped, main_);
  __builtin_unreachable();
}

// ------------------------------------------------------------------------------------------------ launching

std::unique_ptr<Report> Executor::launch(const KernelEntry& kernel, const Image& image, Dim3 grid, Dim3 block,
                                         Dim3 cluster, size_t shared_bytes, void* const* arguments,
                                         std::vector<Allocation> memory, const Options& options) {
  const uint64_t threads = volume(block), blocks = volume(cluster);
  const auto refuse = [](std::string why) {
    return std::make_unique<Report>(Report{"launch", "the launch is impossible: " + std::move(why), {}});
  };
  if (threads < 1 || threads > kMaxThreads || block.z > 64)
    return refuse("block " + text(block) + " has " + std::to_string(threads) + " threads; expected 1 to 1024, z <= 64");
  if (volume(grid) < 1 || grid.y > 65535 || grid.z > 65535 || grid.x > 0x7fffffff)
    return refuse("grid " + text(grid) + "; expected at least one block, y and z at most 65535");
  if (shared_bytes > kSharedLimit)
    return refuse(std::to_string(shared_bytes) + " bytes of dynamic shared memory; expected at most " +
                  std::to_string(kSharedLimit));
  if (blocks < 1 || blocks > kMaxCluster || grid.x % cluster.x || grid.y % cluster.y || grid.z % cluster.z)
    return refuse("cluster " + text(cluster) + " in a grid " + text(grid) +
                  "; expected up to 8 blocks, which divide it");
  if (blocks > 1 && (threads % 32 || threads * blocks > kMaxThreads))
    return refuse("a cluster of " + std::to_string(blocks) + " blocks of " + std::to_string(threads) +
                  " threads; the executor takes whole warps, and 1024 threads a cluster");

  options_ = options;
  random_ = Random(options.seed);
  kernel_ = &kernel;
  grid_ = grid;
  block_ = block;
  cluster_ = cluster;
  block_threads_ = int(threads);
  cluster_blocks_ = int(blocks);
  thread_count_ = block_threads_ * cluster_blocks_;
  dynamic_bytes_ = shared_bytes;
  report_.reset();

  // Parameters are the executor's own memory: a kernel that keeps a pointer to one reads what it read on the device.
  size_t at = 0;
  for (int i = 0; i < kernel.parameter_count; ++i) {
    at = (at + 63) & ~size_t(63);  // as tensor maps want
    if (at + kernel.parameter_bytes[i] > kParameterLimit) return refuse("more than 4096 bytes of parameters");
    std::memcpy(parameters_ + at, arguments[i], kernel.parameter_bytes[i]);
    arguments_[i] = parameters_ + at;
    at += kernel.parameter_bytes[i];
  }
  checker_.begin_launch(uintptr_t(shared_), kMaxCluster * kSharedArena, std::move(memory), image.base);
  images_ = image.segments;

  const uint64_t clusters = volume(grid) / blocks;
  uint64_t step = 1, start = 0;  // a permutation of the clusters: start + i step mod clusters
  if (options.order == Order::kReverse) step = clusters - 1, start = clusters - 1;
  if (options.order == Order::kRandom || options.order == Order::kSkew) {
    start = random_.below(uint32_t(std::min<uint64_t>(clusters, 0xffffffffu)));
    do step = 1 + random_.below(uint32_t(std::min<uint64_t>(clusters, 0xffffffffu)));
    while (std::gcd(step, clusters) != 1);
  }
  const Interruptible interruptible;
  for (uint64_t i = 0; i < clusters && !report_; ++i) {
    run_cluster(uint64_t((start + (unsigned __int128)(i)*step) % clusters), kernel);
    if (interrupted_ && !report_)
      report_ = std::make_unique<Report>(Report{"interrupted", "interrupted between two blocks", {}});
  }
  current_ = nullptr;
  self = nullptr;
  return std::move(report_);
}

void Executor::run_cluster(uint64_t index, const KernelEntry& kernel) {
  cluster_index_ = index;
  clocks_.reset(thread_count_);
  agents_.clear();
  mbarriers_.reset();
  cluster_barrier_ = ClusterBarrier{};
  checker_.begin_cluster(uint32_t(index), dynamic_bytes_);
  ready_.reset(options_.order, thread_count_, random_);
  for (auto& meeting : meetings_) meeting.clear();
  // Registers that a thread may have where a block has its multiprocessor for itself.
  const int registers = std::min(kRegisters / block_threads_ / 8 * 8, 248);
  for (int rank = 0; rank < cluster_blocks_; ++rank) {
    // Dynamic shared memory starts at a multiple of 1024, as swizzled tiles want; static variables follow behind it.
    std::memset(shared(rank), kPoison, dynamic_bytes_);
    variables_[rank] = StaticVariables{dynamic_bytes_ + kRedZone, 0, {}};
    for (Barrier& barrier : barriers_[rank]) barrier = Barrier{};
    for (Warpgroup& warpgroup : warpgroups_[rank]) warpgroup = Warpgroup{};
    visits_[rank].clear();
    live_in_[rank] = block_threads_;
    free_registers_[rank] = kRegisters - registers * block_threads_;
  }
  live_ = thread_count_;
  for (int t = 0; t < thread_count_; ++t) {
    Thread& thread = threads_[t];
    const Dim3 within = coordinates(uint64_t(t % block_threads_), block_);
    static_cast<Self&>(thread) =
        Self{within, block_of(index, rank(t)), block_, grid_, unsigned(rank(t)), unsigned(cluster_blocks_)};
    thread.id = t;
    thread.finished = false;
    thread.copy_group = 1;
    thread.copies.clear();
    thread.stores = BulkStores{};
    thread.product_group = 1;
    thread.products_fenced = false;
    thread.in_flight.clear();
    thread.registers = registers;
    thread.cluster_phase = 0;
    thread.arrived_at_cluster = false;
    prepare(thread.fiber, stacks_.stack(t), kStackBytes, &Executor::thread_main);
    ready_.add(t);
  }
  kernel_ = &kernel;
  current_ = &threads_[ready_.take()];
  self = current_;
  switch_fiber(main_, current_->fiber);
  if (!report_ && live_ > 0) report_deadlock();
}

void Executor::thread_main() {
  Executor& executor = get();
  executor.kernel_->run(executor.arguments_);
  executor.end_thread();
}

// ------------------------------------------------------------------------------------------------ scheduling

// Goes to the next thread that can run (where none can, copies may complete first), or back to the loop over clusters.
void Executor::run_next() {
  Fiber& from = current_->fiber;
  while (ready_.empty() && mbarriers_.perform_one()) {
  }
  if (ready_.empty()) {
    switch_fiber(from, main_);
    return;
  }
  Thread& next = threads_[ready_.take()];
  polls_ = 0;
  if (&next == current_) return;
  current_ = &next;
  self = current_;
  switch_fiber(from, next.fiber);
}

void Executor::suspend(const char* waits_for, uintptr_t pc) {
  current_->waits_for = waits_for;
  current_->waits_at = pc;
  run_next();
}

void Executor::count_poll() {
  if (++polls_ > 64) yield();
}

void Executor::check_interrupt() {
  if (interrupted_) fail("interrupted", "interrupted while block " + text(current_->block_idx) + " was running", {});
}

void Executor::yield() {
  check_interrupt();
  ready_.stand_back(current_->id);
  ready_.add(current_->id);
  run_next();
}

void Executor::end_thread() {
  Thread& thread = *current_;
  thread.finished = true;
  --live_;
  const int block = rank(thread.id);
  if (const Barrier& barrier = barriers_[block][0]; barrier.waiting)
    fail("early exit", who() + " ended, but others of its block wait for it at a barrier",
         {{"they wait in __syncthreads()", barrier.at}});
  for (const Rendezvous& meeting : meetings_[thread.id / 32])
    if (meeting.mask >> (thread.id % 32) & 1)
      fail("divergence", who() + " ended, but lanes of its warp wait for it", {{meeting.instruction, meeting.at}});
  if (const Warpgroup& group = warpgroup(thread.id); group.arrived > 0)
    fail("divergence", who() + " ended, but threads of its warpgroup wait for it", {{"wgmma", group.at}});
  check_stores(thread);
  if (--live_in_[block] == 0) check_end(block);
  if (cluster_barrier_.arrived > 0 && cluster_barrier_.arrived == live_) open_cluster_barrier();
  run_next();
  __builtin_unreachable();
}

void Executor::report_deadlock() {
  Report report{"deadlock", "no thread of block " + text(threads_[0].block_idx) + " can go on", {}};
  std::vector<std::pair<uintptr_t, int>> places;  // (where, how many wait there)
  for (int t = 0; t < thread_count_; ++t) {
    if (threads_[t].finished) continue;
    auto found = std::find_if(places.begin(), places.end(), [&](auto& p) { return p.first == threads_[t].waits_at; });
    if (found == places.end()) {
      places.push_back({threads_[t].waits_at, 1});
      report.notes.push_back({who(t) + " waits for " + threads_[t].waits_for, threads_[t].waits_at});
    } else {
      ++found->second;
    }
  }
  for (size_t i = 0; i < places.size(); ++i)
    if (places[i].second > 1) report.notes[i].text += ", with " + std::to_string(places[i].second - 1) + " more";
  for (std::string& note : mbarriers_.stuck()) report.notes.push_back({std::move(note), 0});
  if (live_ < thread_count_) report.notes.push_back({std::to_string(thread_count_ - live_) + " threads have ended", 0});
  report_ = std::make_unique<Report>(std::move(report));
}

// ------------------------------------------------------------------------------------------------ meeting

int64_t Executor::barrier(int id, int expected, bool wait, int64_t value, int64_t (*combine)(int64_t, int64_t),
                          const char* file, int line, uintptr_t pc) {
  if (id < 0 || id >= kNamedBarriers || expected < 1 || expected > block_threads_ || (id != 0 && expected % 32 != 0))
    fail("barrier",
         "barrier " + std::to_string(id) + " for " + std::to_string(expected) + " threads in a block of " +
             std::to_string(block_threads_) + ": ids are 0 to 15, counts multiples of 32 within the block",
         {{"here", pc}});
  const int block = rank(current_->id), live = live_in_[block], first_warp = block * block_threads_ / 32;
  Barrier& barrier = barriers_[block][id];
  const bool whole = expected == thread_count_;
  if (id == 0 && live < block_threads_)
    fail("early exit",
         who() + " waits for all threads of its block, but " + std::to_string(block_threads_ - live) + " have ended",
         {{"it waits here", pc}});
  if (!barrier.waiting) {
    barrier.waiting = true;
    barrier.expected = expected;
    barrier.file = file;
    barrier.line = line;
    barrier.at = pc;
    barrier.value = value;
  } else {
    if (barrier.expected != expected)
      fail("barrier",
           "threads come to barrier " + std::to_string(id) +
               " with different counts: " + std::to_string(barrier.expected) + " and " + std::to_string(expected),
           {{"here", pc}, {"the others", barrier.at}});
    if (id == 0 && (barrier.line != line || std::strcmp(barrier.file, file) != 0))
      fail("divergence", "threads of one block wait at different barriers: " + who() + " at this one",
           {{"here", pc}, {"others", barrier.at}});
    if (combine) barrier.value = combine(barrier.value, value);
  }
  if (options_.check) {
    if (!barrier.partial && (!whole || !wait)) {  // those who came before have not published yet
      barrier.partial = true;
      for (const int waiter : barrier.waiters) clocks_.publish(waiter, barrier.knowledge);
    }
    if (barrier.partial) clocks_.publish(current_->id, barrier.knowledge);
  }
  ++barrier.arrived;
  barrier.lanes[current_->id / 32] |= 1u << (current_->id % 32);
  if (wait) barrier.waiters.push_back(current_->id);
  if (barrier.arrived < expected) {
    if (wait) suspend(id == 0 ? "a barrier of the block" : "a named barrier", pc);
    return current_->barrier_value;
  }
  for (int warp = first_warp; (warp - first_warp) * 32 < block_threads_; ++warp)
    if (barrier.lanes[warp] != 0 && barrier.lanes[warp] != existing_lanes(warp))
      fail("divergence",
           "a barrier that only some lanes of a warp have come to: warps come to it as a whole; " + who() +
               " was the last",
           {{"here", pc}, {"the first", barrier.at}});
  if (options_.check && !barrier.partial) clocks_.meet_all();
  for (const int waiter : barrier.waiters) {
    if (options_.check && barrier.partial) clocks_.learn(waiter, barrier.knowledge);
    threads_[waiter].barrier_value = barrier.value;
    ready_.add(waiter);
  }
  barrier = Barrier{};
  if (wait) run_next();  // whose turn it is now is the order's to say
  return current_->barrier_value;
}

uint32_t Executor::existing_lanes(int warp) const {
  const int left = thread_count_ - 32 * warp;
  return left >= 32 ? ~0u : (1u << left) - 1;
}

void Executor::rendezvous(const char* instruction, uint32_t mask, void* operand, Combine combine, uintptr_t pc,
                          bool aligned) {
  const int warp = current_->id / 32, lane = current_->id % 32;
  const uint32_t me = 1u << lane;
  const int first = warp * 32;
  const uint32_t exists = existing_lanes(warp);
  if (!(mask & me))
    fail("divergence", who() + " takes part in " + instruction + " with a mask that leaves it out", {{"here", pc}});
  for (uint32_t others = mask & exists; others; others &= others - 1)
    if (const int other = first + __builtin_ctz(others); threads_[other].finished)
      fail("divergence", who() + " waits in " + instruction + " for " + who(other) + ", which has ended",
           {{"here", pc}});
  mask &= exists;
  std::vector<Rendezvous>& meetings = meetings_[warp];
  Rendezvous* mine = nullptr;
  for (Rendezvous& meeting : meetings) {
    // An aligned instruction is one instruction for the whole warp: not its like in another branch.
    if (meeting.mask == mask && std::strcmp(meeting.instruction, instruction) == 0 && (!aligned || meeting.at == pc)) {
      mine = &meeting;
    } else if ((meeting.mask & me) && (meeting.arrived & mask)) {  // they wait for us there, we for them here
      fail("divergence",
           "lanes of one warp meet in different instructions or with different masks: " + who() + " in " + instruction +
               ", others in " + meeting.instruction,
           {{"here", pc}, {"others", meeting.at}});
    }
  }
  if (!mine) {
    meetings.push_back(Rendezvous{mask, 0, instruction, pc, {}});
    mine = &meetings.back();
  }
  mine->operands[lane] = operand;
  mine->arrived |= me;
  if (mine->arrived != mask) {
    suspend(instruction, pc);
    return;
  }
  combine(mine->operands, mask);
  for (uint32_t others = mask & ~me; others; others &= others - 1) ready_.add(first + __builtin_ctz(others));
  meetings.erase(meetings.begin() + (mine - meetings.data()));
}

// ------------------------------------------------------------------------------------------------ shared memory

void* Executor::shared_variable(const SharedVariable& variable) {
  StaticVariables& variables = variables_[current_->cluster_rank];
  for (const auto& [declared, memory] : variables.placed)
    if (declared == &variable) return memory;
  char* const at = shared() + ((variables.top + variable.alignment - 1) & ~(variable.alignment - 1));
  variables.bytes += variable.bytes;
  if (variables.bytes > kStaticLimit || dynamic_bytes_ + variables.bytes > kSharedLimit)
    fail("launch",
         std::string("shared variable ") + variable.name + " does not fit: static variables take " +
             std::to_string(variables.bytes) + " of 49152 bytes, with the dynamic ones " +
             std::to_string(dynamic_bytes_ + variables.bytes) + " of " + std::to_string(kSharedLimit),
         {});
  std::memset(at, kPoison, variable.bytes);
  variables.top = size_t(at - shared()) + variable.bytes + kRedZone;
  variables.placed.emplace_back(&variable, at);
  checker_.allow_shared(uintptr_t(at), variable.bytes);
  return at;
}

}  // namespace fastconv::simt
