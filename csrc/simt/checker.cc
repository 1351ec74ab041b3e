#include "simt/checker.h"

#include <algorithm>
#include <cstdio>

#include "simt/executor.h"

namespace fastconv::simt {

namespace {

const char* verb(Access kind) {
  return kind == Access::kRead ? "read" : kind == Access::kWrite ? "write" : "atomic update";
}

std::string bytes_of(size_t count) { return std::to_string(count) + (count == 1 ? " byte" : " bytes"); }

}  // namespace

void Checker::begin_launch(uintptr_t shared, size_t shared_bytes, std::vector<Allocation> memory, uintptr_t image) {
  image_ = image;
  shared_begin_ = shared;
  shared_bytes_ = shared_bytes;
  if (!shared_shadow_) shared_shadow_ = std::make_unique<Shadow>(shared, shared_bytes);
  std::sort(memory.begin(), memory.end(), [](const auto& a, const auto& b) { return a.begin < b.begin; });
  regions_.clear();
  last_region_ = 0;
  for (Allocation& part : memory) {
    if (part.bytes == 0) continue;
    const uintptr_t end = part.begin + part.bytes;
    if (!regions_.empty() && part.begin < regions_.back().end) {  // two views of one array
      regions_.back().end = std::max(regions_.back().end, end);
      regions_.back().writable = regions_.back().writable || part.writable;
      if (regions_.back().name != part.name) regions_.back().name += "/" + part.name;
    } else {
      regions_.push_back({part.begin, end, std::move(part.name), nullptr, part.writable});
    }
  }
  for (Region& region : regions_)
    if (const size_t bytes = region.end - region.begin; bytes <= kWatchedBytes)
      region.shadow = std::make_unique<Shadow>(region.begin, bytes);
}

void Checker::begin_cluster(uint32_t cluster, size_t dynamic_bytes) {
  cluster_ = cluster;
  ++generation_;
  dynamic_bytes_ = dynamic_bytes;
}

void Checker::allow_shared(uintptr_t begin, size_t bytes) {
  shared_shadow_->visit(begin, bytes, [&](Cell& cell, uint8_t mask) {
    if (cell.generation != generation_) cell = Cell{generation_, 0, 0, {}, {}, {}};
    cell.allocated |= mask;
  });
}

void Checker::access(uintptr_t address, size_t size, Access kind, int actor, uint32_t epoch, bool aligned, uintptr_t pc,
                     int viewer) {
  const Accessor a{address,
                   size,
                   kind,
                   actor,
                   epoch,
                   pc,
                   viewer < 0 ? executor_.current().id : viewer,
                   executor_.clocks().is_agent(actor)};
  if (aligned && (size & (size - 1)) == 0 && address % size != 0)
    executor_.fail("misaligned",
                   std::string("misaligned ") + verb(kind) + " of " + bytes_of(size) + " by " + executor_.who() +
                       ": the address is " + std::to_string(address % size) + " past a multiple of " +
                       std::to_string(size),
                   {{"here", pc}});
  if (in_shared(address))
    shared_access(a);
  else
    global_access(a);
}

void Checker::shared_access(const Accessor& a) {
  const int rank = executor_.rank_of(a.address);
  if (rank != executor_.rank(a.viewer)) executor_.visit(rank, a.pc);
  const uintptr_t dynamic_end = uintptr_t(executor_.shared(rank)) + dynamic_bytes_;
  const bool dynamic = a.address + a.size <= dynamic_end;
  shared_shadow_->visit(a.address, a.size, [&](Cell& cell, uint8_t mask) {
    if (cell.generation != generation_) cell = Cell{generation_, 0, 0, {}, {}, {}};
    if (!dynamic && (cell.allocated & mask) != mask)
      executor_.fail("out of bounds",
                     std::string(verb(a.kind)) + " of " + bytes_of(a.size) +
                         " outside every variable in shared memory by " + executor_.who() +
                         (dynamic_bytes_ > 0 ? ", " + std::to_string(a.address + a.size - dynamic_end) + " past the " +
                                                   std::to_string(dynamic_bytes_) + " dynamic bytes of the launch"
                                             : ""),
                     {{"here", a.pc}});
    if (a.kind != Access::kWrite && (cell.initialised & mask) != mask)
      executor_.fail("uninitialised",
                     "uninitialised shared memory: " + std::string(verb(a.kind)) + " of " + bytes_of(a.size) + " by " +
                         executor_.who() + " where this block has written nothing",
                     {{"here", a.pc}});
    conflicts(cell, mask, a, false);
    remember(cell, mask, a, false);
  });
}

void Checker::global_access(const Accessor& a) {
  if (last_region_ >= regions_.size() || a.address < regions_[last_region_].begin ||
      a.address >= regions_[last_region_].end) {
    const auto after = std::upper_bound(regions_.begin(), regions_.end(), a.address,
                                        [](uintptr_t address, const Region& region) { return address < region.begin; });
    if (after == regions_.begin()) stray(a);
    last_region_ = size_t(after - regions_.begin()) - 1;
  }
  Region& region = regions_[last_region_];
  if (a.address >= region.end || a.address + a.size > region.end) stray(a);
  if (a.kind != Access::kRead && !region.writable)
    executor_.fail("read-only",
                   std::string(verb(a.kind)) + " of " + bytes_of(a.size) + " by " + executor_.who() +
                       " in the read-only array " + region.name,
                   {{"here", a.pc}});
  if (!region.shadow) return;
  region.shadow->visit(a.address, a.size, [&](Cell& cell, uint8_t mask) {
    conflicts(cell, mask, a, true);
    remember(cell, mask, a, true);
  });
}

bool Checker::ordered(const Touch& earlier, const Accessor& a, bool global) const {
  if (earlier.atomic && a.kind == Access::kAtomic) return true;
  if (global && earlier.cluster != cluster_) return false;  // nothing within a launch orders two clusters
  return executor_.clocks().sees(a.viewer, earlier.actor, earlier.epoch);
}

void Checker::conflicts(Cell& cell, uint8_t mask, const Accessor& a, bool global) {
  for (const Touch& write : cell.write) {
    if (!(write.mask & mask)) continue;
    if (!ordered(write, a, global)) race(write, true, a, global);
    if (a.async) require_fence(write, a, global);
  }
  if (a.kind == Access::kRead) return;
  for (const Touch& read : {cell.read[0], cell.read[1], cell.read_before})
    if ((read.mask & mask) && !ordered(read, a, global)) race(read, false, a, global);
}

void Checker::remember(Cell& cell, uint8_t mask, const Accessor& a, bool global) {
  Touch touch{a.epoch, uint32_t(a.pc - image_), cluster_, uint16_t(a.actor), mask, a.kind == Access::kAtomic};
  if (a.kind != Access::kRead) {
    cell.initialised |= mask;
    for (int byte = 0; byte < kGranule; ++byte)
      if (mask >> byte & 1) cell.write[byte] = touch, cell.write[byte].mask = uint8_t(1 << byte);
    // Reads of these bytes are ordered before this write, which stands for them from now on.
    for (Touch* read : {&cell.read[0], &cell.read[1], &cell.read_before}) read->mask &= uint8_t(~mask);
    return;
  }
  for (Touch& read : cell.read)
    if (read.mask && read.cluster != cluster_) cell.read_before = read, read.mask = 0;
  for (Touch& read : cell.read) {
    const bool same = read.mask && read.actor == touch.actor;
    if (read.mask && !same && !((read.mask | mask) == mask && ordered(read, a, global))) continue;
    if (same) touch.mask |= read.mask;
    read = touch;
    return;
  }
  cell.read[0] = cell.read[1];
  cell.read[1] = touch;
}

// What threads (and their cp.async) write is not seen by the asynchronous proxy before a fence.
void Checker::require_fence(const Touch& write, const Accessor& a, bool global) {
  const Clocks& clocks = executor_.clocks();
  if (clocks.is_agent(write.actor) || (global && write.cluster != cluster_)) return;
  if (clocks.fenced(a.viewer, write.actor, write.epoch)) return;
  executor_.fail("proxy",
                 std::string("missing fence.proxy.async: ") + executor_.actor_name(a.actor, cluster_) + " " +
                     (a.kind == Access::kRead ? "reads" : "writes") + " " + bytes_of(a.size) +
                     " that a thread has written, and no fence shows that to the asynchronous proxy",
                 {{std::string(verb(a.kind)) + ", started by " + executor_.who(), a.pc},
                  {"after a write by " + executor_.actor_name(write.actor, write.cluster), image_ + write.pc}});
}

void Checker::race(const Touch& earlier, bool earlier_wrote, const Accessor& a, bool global) {
  const auto rank = [&](int actor) { return executor_.rank_of_actor(actor); };
  const bool between_blocks = global && (earlier.cluster != cluster_ || rank(earlier.actor) != rank(a.actor));
  const char* where = global ? "global" : "shared";
  const std::string headline = std::string(between_blocks ? "race between blocks" : "race") + " in " + where +
                               " memory: nothing orders two accesses to the same " + bytes_of(a.size);
  executor_.fail(between_blocks ? "race between blocks" : "race", headline,
                 {{std::string(verb(a.kind)) + " by " + executor_.actor_name(a.actor, cluster_), a.pc},
                  {std::string("after a ") +
                       (earlier.atomic  ? "atomic update"
                        : earlier_wrote ? "write"
                                        : "read") +
                       " by " + executor_.actor_name(earlier.actor, earlier.cluster),
                   image_ + earlier.pc}});
}

void Checker::stray(const Accessor& a) {
  const Region* nearest = nullptr;
  size_t distance = 0;
  for (const Region& region : regions_) {
    const size_t here = a.address < region.begin ? region.begin - a.address : a.address + a.size - region.end;
    if (!nearest || here < distance) nearest = &region, distance = here;
  }
  std::string headline = std::string(verb(a.kind)) + " of " + bytes_of(a.size) + " out of bounds by " + executor_.who();
  if (a.address < 4096)
    headline += ": a null pointer, or an array that was not given";
  else if (nearest)
    headline += ": " + bytes_of(distance) + (a.address < nearest->begin ? " before the " : " past the end of the ") +
                std::to_string(nearest->end - nearest->begin) + "-byte array " + nearest->name;
  executor_.fail("out of bounds", headline, {{"here", a.pc}});
}

}  // namespace fastconv::simt
