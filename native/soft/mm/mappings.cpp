// SPDX-License-Identifier: MIT
#include "soft/mm/mappings.h"

#include <sys/mman.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <utility>

namespace i915u::soft {
namespace {

const sync::LockClass mappings_class{"i_mmap_rwsem"};

bool continues(uint64_t a_start, const Mapping& a, uint64_t b_start, const Mapping& b) {
  return a.end == b_start && a.prot == b.prot && a.shared == b.shared && a.pfnmap == b.pfnmap &&
         a.dev == b.dev && a.ino == b.ino && (!a.file() || a.off + (b_start - a_start) == b.off);
}

/// Calls fn(start, mapping) for what the kernel has mapped in this process.
template <class F>
void for_each_in_process(F fn) {
  FILE* f = fopen("/proc/self/maps", "re");
  if (!f) return;
  char* line = nullptr;
  size_t room = 0;
  while (getline(&line, &room, f) > 0) {
    uint64_t start, end, off, ino;
    unsigned major, minor;
    char perms[5];
    if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &start, &end, perms,
               &off, &major, &minor, &ino) != 7)
      continue;
    // Protection is left open: a JIT or a loader may change it behind our back at any time.
    fn(start, Mapping{.end = end,
                      .prot = Mapping::prot_unknown,
                      .shared = perms[3] == 's',
                      .pfnmap = false,
                      .dev = makedev(major, minor),
                      .ino = ino,
                      .off = off});
  }
  free(line);
  fclose(f);
}

}  // namespace

Mappings::Mappings() : lock_(mappings_class) {
  for_each_in_process([this](uint64_t start, const Mapping& m) { insert(start, m); });
}

ino_t Mappings::new_anon_file() {
  sync::Guard g(lock_);
  return ++last_anon_;
}

Mappings::Map::const_iterator Mappings::first(uint64_t start) const {
  auto it = map_.upper_bound(start);
  if (it != map_.begin() && std::prev(it)->second.end > start) --it;
  return it;
}

template <class F>
void Mappings::for_each(uint64_t start, uint64_t end, F fn) const {
  for (auto it = first(start); it != map_.end() && it->first < end; ++it)
    fn(std::max(start, it->first), std::min(end, it->second.end), it->first, it->second);
}

void Mappings::split(uint64_t at) {
  auto it = map_.upper_bound(at);
  if (it == map_.begin()) return;
  --it;
  if (it->first == at || it->second.end <= at) return;
  Mapping high = it->second;
  it->second.end = at;
  high.off += at - it->first;
  map_.emplace(at, high);
  if (high.file()) files_.insert(at);
}

void Mappings::cut(uint64_t start, uint64_t end) {
  split(start);
  split(end);
  auto from = map_.lower_bound(start), to = map_.lower_bound(end);
  for (auto it = from; it != to; ++it)
    if (it->second.file()) files_.erase(it->first);
  map_.erase(from, to);
}

void Mappings::insert(uint64_t start, Mapping m) {
  sync::Guard g(lock_);
  cut(start, m.end);
  if (m.file()) files_.insert(start);
  map_.emplace(start, m);
}

void Mappings::erase(uint64_t start, uint64_t end) {
  sync::Guard g(lock_);
  cut(start, end);
}

void Mappings::protect(uint64_t start, uint64_t end, int prot) {
  sync::Guard g(lock_);
  split(start);
  split(end);
  // Merged with its neighbours again, or protecting back and forth would leave splinters.
  auto it = map_.lower_bound(start);
  auto prev = it == map_.begin() ? map_.end() : std::prev(it);
  while (it != map_.end() && it->first <= end) {
    Mapping& m = it->second;
    if (it->first < end) m.prot = prot;
    if (prev != map_.end() && continues(prev->first, prev->second, it->first, m)) {
      prev->second.end = m.end;
      files_.erase(it->first);
      it = map_.erase(it);
    } else {
      prev = it++;
    }
  }
}

void Mappings::set_pfnmap(uint64_t start, uint64_t end) {
  sync::Guard g(lock_);
  split(start);
  split(end);
  for (auto it = map_.lower_bound(start); it != map_.end() && it->first < end; ++it)
    it->second.pfnmap = true;
}

bool Mappings::find(uint64_t addr, uint64_t* start, Mapping* m) const {
  sync::Guard g(lock_);
  auto it = first(addr);
  if (it == map_.end() || it->first > addr) return false;
  *start = it->first;
  *m = it->second;
  return true;
}

bool Mappings::any(uint64_t start, uint64_t end) const {
  sync::Guard g(lock_);
  auto it = first(start);
  return it != map_.end() && it->first < end;
}

bool Mappings::any_pfnmap(uint64_t start, uint64_t end) const {
  std::vector<std::pair<uint64_t, Mapping>> found;
  {
    sync::Guard g(lock_);
    for_each(start, end, [&](uint64_t, uint64_t, uint64_t at, const Mapping& m) {
      if (m.pfnmap) found.emplace_back(at, m);
    });
  }
  // What was unmapped behind our back may have made room for ordinary memory since.
  bool still = false;
  if (!found.empty())
    for_each_in_process([&](uint64_t at, const Mapping& now) {
      for (const auto& [from, m] : found)
        still = still || (std::max({at, from, start}) < std::min({now.end, m.end, end}) &&
                          now.dev == m.dev && now.ino);
    });
  return still;
}

ByteRange Mappings::not_protected(uint64_t start, uint64_t end, int prot) const {
  sync::Guard g(lock_);
  ByteRange r{end, end};
  uint64_t known = start;  // all before it has been looked at
  auto differs = [&](uint64_t from, uint64_t to) {
    if (r.start == end) r.start = from;
    r.end = to;
  };
  for_each(start, end, [&](uint64_t from, uint64_t to, uint64_t, const Mapping& m) {
    if (known < from) differs(known, from);
    if (m.prot != prot) differs(from, to);
    known = to;
  });
  if (known < end) differs(known, end);
  return r;
}

std::vector<ByteRange> Mappings::shared(uint64_t start, uint64_t end) const {
  sync::Guard g(lock_);
  std::vector<ByteRange> r;
  for_each(start, end, [&](uint64_t from, uint64_t to, uint64_t, const Mapping& m) {
    if (m.shared) r.push_back({from, to});
  });
  return r;
}

std::vector<ByteRange> Mappings::of_file(dev_t dev, ino_t ino, uint64_t off, uint64_t end) const {
  sync::Guard g(lock_);
  std::vector<ByteRange> r;
  for (uint64_t start : files_) {
    const Mapping& m = map_.at(start);
    if (m.dev != dev || m.ino != ino) continue;
    const uint64_t from = std::max(off, m.off), to = std::min(end, m.off + (m.end - start));
    if (from < to) r.push_back({start + (from - m.off), start + (to - m.off)});
  }
  return r;
}

std::vector<Mappings::FileRange> Mappings::files_in(uint64_t start, uint64_t end) const {
  sync::Guard g(lock_);
  std::vector<FileRange> r;
  for_each(start, end, [&](uint64_t from, uint64_t to, uint64_t base, const Mapping& m) {
    if (m.shared && m.file())
      r.push_back({m.dev, m.ino, m.off + (from - base), m.off + (to - base)});
  });
  return r;
}

}  // namespace i915u::soft
