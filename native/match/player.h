// SPDX-License-Identifier: MIT
// Plays sequences of calls, given as text, on a device, and answers in text: the same over the
// software device and over the driver, so that what differs is theirs. The arena, where a sequence
// maps what it likes, and the memory for arguments are at the same addresses everywhere.
//
// A sequence cannot harm the player: what would touch other memory is refused, and the calls that
// are made answer instead of dying.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "drm/device.h"
#include "match/op.h"
#include "mem/quiet.h"

namespace i915u::match {

class Worker;

/// Would the op touch other memory than the arena and that for arguments, or harm the machine?
bool refused(const Op& op);

constexpr uint64_t args_size = 256 << 10, arena_size = 256 << 20;
constexpr uint64_t args_at = quiet_match, arena_at = quiet_match + arena_size;
// So much is left free behind it.
static_assert(2 * arena_size < quiet_size / 8);

/// What there is of what must not be left over.
struct Leaks {
  int64_t pins = 0, objects = 0, fds = 0, children = 0;
};
Leaks count_leaks(Device& dev);

class Player {
 public:
  /// Opens the GPU once more; null with *err.
  using Open = std::function<std::unique_ptr<Device>(int* err)>;
  /// `first` is open as long as the player is.
  Player(std::unique_ptr<Device> first, Open open);
  ~Player();
  Player(const Player&) = delete;
  Player& operator=(const Player&) = delete;

  /// 0, or -errno: the memory for arguments is not to be had. Before all else.
  int init();

  /// One line of the input. False: it makes no sense, or a sequence cannot begin; the answer says
  /// what is wrong, and no further line may follow.
  bool line(std::string_view text);
  bool in_sequence() const { return in_sequence_; }
  const std::string& answers() const { return answers_; }
  void clear_answers() { answers_.clear(); }

  /// Which op is under way and its number in the sequence, for a watch: 0 for none.
  struct Progress {
    uint64_t ticket;
    uint32_t op;
  };
  Progress progress() const;

 private:
  struct File {
    std::unique_ptr<Device> device;
    int fd = -1;
  };
  struct Mapped {
    uint64_t addr, len;
  };

  bool begin(std::string_view id);
  void end();
  void leaks();
  Leaks left_over();
  bool op(std::string_view text);

  void resolve(Op& op);
  /// The op itself, of those that a thread can do.
  void perform(Op& op, Answer& a) const;
  /// The others.
  void manage(Op& op, Answer& a);
  void finish(Op& op, Answer& a);
  void note_mapped(const Op& op, const Answer& a);
  void tell(const Op& op, const Answer& a);
  int close_file(File& f);
  void put_file(int slot, int fd);
  int64_t fork_child(const Op& op);
  int64_t hold_child(pid_t* child);
  int64_t release_child(pid_t* child);
  Worker& worker(unsigned n);
  void fault_in_own_memory();

  std::unique_ptr<Device> first_;
  Open open_;
  Memory& memory_;
  int no_file_ = -1;  ///< whose descriptor stands for a device that has none
  Leaks before_;
  std::string answers_;

  bool in_sequence_ = false;
  std::string id_;
  unsigned ops_ = 0;
  std::array<uint64_t, num_slots> slots_;
  std::array<File, num_files> files_;
  std::vector<std::unique_ptr<Device>> closed_;  ///< a thread may still be in a call of theirs
  std::vector<Mapped> mapped_;                   ///< where the driver chose the address
  std::array<pid_t, num_children> children_{};
  std::array<std::unique_ptr<Worker>, num_threads> workers_;
  bool copied_on_write_ = true;  ///< pages of the player's own may be, since it forked
  std::unique_ptr<Op> op_;
  std::unique_ptr<Answer> answer_;
  std::atomic<uint64_t> ticket_{0};
  std::atomic<uint32_t> current_{0};
};

}  // namespace i915u::match
