// SPDX-License-Identifier: MIT
// The slow path: what is new is checked under one lock.
#include "sync/lockdep_graph.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace i915u::sync::lockdep {
namespace {

constexpr uint32_t chain_slots = 1u << 14;
static_assert(max_chains * 4 <= chain_slots * 3);

struct ClassInfo {
  const LockClass* cls;
  uint8_t subclass;
  bool event;
};

std::mutex lock;  // of all that follows, but for what is atomic
ClassInfo classes[max_classes];
uint32_t n_classes = 1;
Edge edges[max_edges];
uint32_t n_edges = 1;
uint32_t first_edge[max_classes];
uint16_t chain_at[max_chains];  // the slots that are used
uint32_t n_chains;
std::atomic<uint64_t> chains[chain_slots];
// What is known of each event: the bits of a task's history.
std::atomic<uint64_t> event_edges[max_classes][Task::history_words];

uint32_t last_epoch = 1;
bool wanted = true;

// A forked child has its parent's graph. What its parent held is not its own: it has another mm,
// and whoever else could release it is not there.
const int set_up = [] {
  const char* off = getenv("I915_USERPTR_LOCKDEP");
  if (off && !strcmp(off, "0")) enable(false);
  pthread_atfork([] { lock.lock(); }, [] { lock.unlock(); },
                 [] {
                   lock.unlock();
                   if (Task* t = current()) t->forget();
                 });
  return 0;
}();

void clear() {
  for (uint32_t i = 1; i < n_classes; i++) {
    first_edge[i] = 0;
    for (auto& word : event_edges[i]) word.store(0, std::memory_order_relaxed);
  }
  for (uint32_t i = 0; i < n_chains; i++) chains[chain_at[i]].store(0, std::memory_order_relaxed);
  n_chains = 0;
  n_edges = 1;
}

uint8_t way(Mode from, Mode to) {
  const bool rec = to == Mode::read_recursive;
  if (from == Mode::write) return rec ? Edge::excl_rec : Edge::excl_plain;
  return rec ? Edge::shared_rec : Edge::shared_plain;
}

// The shortest path that can deadlock from one class to another: none enters a class as a recursive
// reader and leaves it as a reader, its ends with the edge from `to` to `from` among them. False:
// there is none.
bool find_path(uint16_t from, bool from_rec, uint16_t to, bool to_excl,
               std::vector<const Edge*>* path) {
  // A place is a class and how it was come to: recursively only, or not.
  static uint16_t queue[2 * max_classes];
  static uint32_t by[2 * max_classes];      // the edge to it
  static uint16_t before[2 * max_classes];  // the place that it left
  static bool seen[2 * max_classes];
  std::fill_n(seen, 2 * n_classes, false);
  const uint16_t start = static_cast<uint16_t>(from * 2 + from_rec);
  uint32_t head = 0, tail = 0;
  queue[tail++] = start;
  seen[start] = true;
  while (head < tail) {
    const uint16_t at = queue[head++];
    const bool only_rec = at & 1;
    for (uint32_t e = first_edge[at / 2]; e; e = edges[e].next) {
      uint8_t ways = edges[e].ways;
      if (only_rec) ways &= Edge::excl_plain | Edge::excl_rec;
      if (!ways) continue;
      const bool rec = !(ways & (Edge::excl_plain | Edge::shared_plain));
      const uint16_t next = static_cast<uint16_t>(edges[e].to * 2 + rec);
      if (seen[next] || (rec && seen[next - 1])) continue;
      seen[next] = true;
      by[next] = e;
      before[next] = at;
      queue[tail++] = next;
      if (edges[e].to != to || (rec && !to_excl)) continue;
      for (uint16_t p = next; p != start; p = before[p]) path->push_back(&edges[by[p]]);
      std::reverse(path->begin(), path->end());
      return true;
    }
  }
  return false;
}

enum class Added { yes, circle, full };

// `lock` held. Adds it unless it is there, or closes a circle.
Added add(const Edge& e, Circle* circle) {
  uint32_t* there = &first_edge[e.from];
  while (*there && (edges[*there].to != e.to || edges[*there].cross != e.cross))
    there = &edges[*there].next;
  if (*there && (edges[*there].ways & e.ways) == e.ways) return Added::yes;
  const bool excl = !(e.ways & (Edge::shared_plain | Edge::shared_rec));
  const bool rec = !(e.ways & (Edge::excl_plain | Edge::shared_plain));
  if (find_path(e.to, rec, e.from, excl, &circle->path)) {
    circle->added = e;
    circle->to_is_event = classes[e.to].event;
    circle->from_is_event = classes[e.from].event;
    return Added::circle;
  }
  if (*there) {
    edges[*there].ways |= e.ways;
    return Added::yes;
  }
  if (n_edges == max_edges) return Added::full;
  edges[n_edges] = e;
  edges[n_edges].next = 0;
  *there = n_edges++;
  return Added::yes;
}

Edge edge_of(const Task& t, uint16_t from, uint16_t to, Mode from_mode, Mode to_mode,
             Where from_where, Where to_where, bool cross) {
  Edge e{};
  e.from = from;
  e.to = to;
  e.ways = way(from_mode, to_mode);
  e.cross = cross;
  e.from_mode = from_mode;
  e.to_mode = to_mode;
  e.from_where = from_where;
  e.to_where = to_where;
  memcpy(e.task, t.name, sizeof e.task);
  e.tid = tid_of(t);
  return e;
}

// `lock` held. False: there is no room.
bool remember(uint64_t key) {
  if (n_chains == max_chains) return false;
  uint32_t at = key >> 50;
  for (uint64_t there; (there = chains[at].load(std::memory_order_relaxed));
       at = (at + 1) % chain_slots)
    if (there == key) return true;
  chain_at[n_chains++] = static_cast<uint16_t>(at);
  chains[at].store(key, std::memory_order_relaxed);
  return true;
}

bool holds(const Task& t, const void* what) {
  for (uint32_t i = 0; i < t.depth; i++)
    if (t.held[i].lock == what) return true;
  return false;
}

// The held lock that `next` would wait for though the same task has it; null: none.
const Task::Held* recursion(const Task& t, const Task::Held& next) {
  if (next.trylock) return nullptr;
  const bool nested = next.nest && holds(t, next.nest);
  for (uint32_t i = 0; i < t.depth; i++) {
    const Task::Held& h = t.held[i];
    if (h.id != next.id || nested) continue;
    if (next.mode == Mode::read_recursive && h.mode != Mode::write) continue;
    return &h;
  }
  return nullptr;
}

}  // namespace

namespace detail {
std::atomic<uint32_t> epoch{1};
}

void reset() {
  std::lock_guard g(lock);
  clear();
  last_epoch++;
  detail::epoch.store(wanted ? last_epoch : 0, std::memory_order_relaxed);
}

void enable(bool on) {
  std::lock_guard g(lock);
  wanted = on;
  if (on == (detail::epoch.load() != 0)) return;
  detail::epoch.store(on ? ++last_epoch : 0, std::memory_order_relaxed);
}

bool turn_off() {
  return detail::epoch.exchange(0) != 0;
}

bool chain_known(uint64_t key) {
  for (uint32_t at = key >> 50;; at = (at + 1) % chain_slots) {
    const uint64_t there = chains[at].load(std::memory_order_relaxed);
    if (there == key) return true;
    if (!there) return false;
  }
}

uint16_t class_id(const LockClass& cls, unsigned subclass) {
  {
    std::lock_guard g(lock);
    if (const uint16_t id = cls.ids[subclass].load(std::memory_order_relaxed)) return id;
    if (n_classes < max_classes) {
      const auto id = static_cast<uint16_t>(n_classes++);
      classes[id] = {&cls, static_cast<uint8_t>(subclass), false};
      cls.ids[subclass].store(id, std::memory_order_relaxed);
      return id;
    }
  }
  too_small("MAX_LOCKDEP_KEYS");
  return 0;
}

std::string class_name(uint16_t id) {
  const ClassInfo& c = classes[id];
  return c.subclass ? std::string(c.cls->name) + "/" + std::to_string(c.subclass) : c.cls->name;
}

bool check_chain(Task& t, const Task::Held& next, uint64_t key) {
  Report report;
  Added added = Added::yes;
  const char* full = "MAX_LOCKDEP_ENTRIES";
  {
    std::lock_guard g(lock);
    if (const Task::Held* h = recursion(t, next)) {
      report = recursive_report(t, next, *h);
      added = Added::circle;
    }
    Circle circle;
    for (uint32_t i = t.depth; added == Added::yes && !next.trylock && i-- > 0;) {
      const Task::Held& h = t.held[i];
      if (h.id == next.id) continue;
      added =
          add(edge_of(t, h.id, next.id, h.mode, next.mode, h.where, next.where, false), &circle);
      if (added == Added::circle) report = circular_report(t, circle);
    }
    if (added == Added::yes) {
      if (remember(key)) return true;
      full = "MAX_LOCKDEP_CHAINS";
    }
  }
  if (added != Added::circle)
    too_small(full);
  else if (turn_off())
    say(report);
  return false;
}

bool completes_anew(const Task& t, uint16_t event, uint64_t since) {
  for (uint32_t w = 0; w < Task::history_words; w++) {
    uint64_t left = t.touched[w] & ~event_edges[event][w].load(std::memory_order_relaxed);
    for (; left; left &= left - 1) {
      const uint32_t at = w * 64 + static_cast<uint32_t>(__builtin_ctzll(left));
      if (t.history[at].stamp >= since && at / 2 != event) return true;
    }
  }
  return false;
}

bool check_completion(Task& t, uint16_t event, uint64_t since, Where where) {
  Report report;
  Added added = Added::yes;
  {
    std::lock_guard g(lock);
    classes[event].event = true;
    Circle circle;
    for (uint32_t w = 0; w < Task::history_words && added == Added::yes; w++) {
      uint64_t left = t.touched[w] & ~event_edges[event][w].load(std::memory_order_relaxed);
      for (; left && added == Added::yes; left &= left - 1) {
        const uint32_t bit = static_cast<uint32_t>(__builtin_ctzll(left)), at = w * 64 + bit;
        const Task::Acquisition& a = t.history[at];
        if (a.stamp < since || at / 2 == event) continue;
        const Mode mode = at % 2 ? Mode::read_recursive : Mode::write;
        added = add(edge_of(t, event, static_cast<uint16_t>(at / 2), Mode::write, mode, where,
                            a.where, true),
                    &circle);
        if (added == Added::circle) report = circular_report(t, circle);
        if (added == Added::yes)
          event_edges[event][w].fetch_or(uint64_t{1} << bit, std::memory_order_relaxed);
      }
    }
  }
  if (added == Added::yes) return true;
  if (added == Added::full)
    too_small("MAX_LOCKDEP_ENTRIES");
  else if (turn_off())
    say(report);
  return false;
}

}  // namespace i915u::sync::lockdep
