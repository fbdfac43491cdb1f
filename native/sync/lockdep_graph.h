// SPDX-License-Identifier: MIT
// Lockdep's graph: classes, the dependencies between them, and the chains of held locks that have
// been found good. One for the process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sync/lockdep.h"

namespace i915u::sync::lockdep {

constexpr uint32_t max_edges = 8192;
constexpr uint32_t max_chains = 12288;

/// `to` was taken, or waited for, while `from` was held; with `cross`, on the way to the completion
/// of `from`. How the ends were held is a set: an edge is walked where one of them fits.
struct Edge {
  /// Of ways: who leaves `from` as a reader or not, and comes to `to` recursively or not.
  enum Way : uint8_t { excl_plain = 1, excl_rec = 2, shared_plain = 4, shared_rec = 8 };

  uint16_t from, to;
  uint8_t ways;
  bool cross;
  Mode from_mode, to_mode;     ///< of the first time
  Where from_where, to_where;  ///< cross: of the completion, and of what came before it
  char task[sizeof(Task::name)];
  int32_t tid;
  uint32_t next;  ///< of those that leave `from`; 0 ends
};

/// A chain that has been seen? Takes no lock.
bool chain_known(uint64_t key);
/// The number of a class, a new one if need be; 0 when there are too many: lockdep is off.
uint16_t class_id(const LockClass&, unsigned subclass);
std::string class_name(uint16_t id);  ///< with "/1" for a subclass

/// `next` under all that `t` holds. False: reported.
bool check_chain(Task& t, const Task::Held& next, uint64_t key);
/// Does `t` have acquisitions since `since` whose edges from the event are not there yet?
bool completes_anew(const Task& t, uint16_t event, uint64_t since);
/// Adds them. False: reported.
bool check_completion(Task& t, uint16_t event, uint64_t since, Where);

// --- lockdep_report.cpp. Off first: only the first caller gets true, and then says it.
bool turn_off();
void say(const Report&);
/// A table is full.
void too_small(const char* limit);

/// "name/tid"
std::string task_text(const char* name, int32_t tid);
int32_t tid_of(const Task&);

Report recursive_report(const Task&, const Task::Held& next, const Task::Held& held);
/// What would close a circle: `from` to `to` is new, and `path` leads back from `to` to `from`.
struct Circle {
  Edge added;
  std::vector<const Edge*> path;
  bool to_is_event, from_is_event;
};
Report circular_report(const Task&, const Circle&);
Report held_report(const Task&, bool to_user);
Report sleeping_report(const Task&, Where);

}  // namespace i915u::sync::lockdep
