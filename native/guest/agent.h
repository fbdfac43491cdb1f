// SPDX-License-Identifier: MIT
// What the guest's init does for the host once it is up: it starts processes, carries their input
// and output, forwards the kernel's log, and shows that it is alive.
//
// The host asks in lines, `ID VERB ARGUMENT...\n`, some of them followed by bytes:
//   ID exec PTY ROWS COLS NARGS NENV BYTES   strings that end in NUL: directory, arguments, K=V
//   ID stdin BYTES                           for process ID; no bytes: end of file. No reply, but
//                                            a "fed" for what the process has room for
//   ID kill SIGNAL                           to the process group of ID
//   ID size ROWS COLS                        of its terminal
//   ID write BYTES                           path NUL value, for /proc/sys and /sys
//   ID zram BYTES SIZE                       a disk's name; swap of that size on it
// (BYTES up to 1 MiB: E2BIG beyond, and they are passed over; input that waits, 4 MiB: ENOBUFS)
// and is told in NDJSON, with bytes as characters of that value:
//   {"reply":ID,"errno":N}  {"out":ID,"fd":1,"data":".."}  {"exit":ID,"status":N,"signal":N}
//   {"fed":ID,"bytes":N}
//   {"kmsg":"a record of /dev/kmsg"}  {"beat":US}  and the stages of the boot, boot.h
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace i915u::guest {

/// Microseconds since the kernel's start.
uint64_t now_us();

/// As a JSON string: what is not printable ASCII is \u00XX.
std::string quoted(std::string_view bytes);

class Agent {
 public:
  explicit Agent(int port);
  /// One line of NDJSON; sent by the next flush.
  void say(std::string_view json);
  void flush();
  /// Serves. Returns at a socket's end of file (a virtio port has none: its host may come back),
  /// and when what the host sends makes no sense: a line without end.
  void serve();
  /// A child of init's own: its exit status is said as {"stage":NAME,"us":..,"status":N}.
  void watch(pid_t pid, const char* name) { watched_[pid] = name; }

 private:
  struct Process {
    pid_t pid = -1;
    int in = -1, out = -1, err = -1;
    bool pty = false;
    std::string pending;  ///< of stdin
    bool end_of_input = false;
  };

  bool receive();
  /// Handles one request at the front of the input. False: it is not there whole yet.
  bool request();
  void handle(uint64_t id, const std::vector<std::string>& words, std::string_view body);
  void reply(uint64_t id, int err);
  int exec(uint64_t id, const std::vector<std::string>& words, std::string_view body);
  int write_file(std::string_view body);
  void forward_log();
  void forward(uint64_t id, int& fd, int number);
  void feed(uint64_t id, Process& p);
  void reap();
  void close_all(Process& p);

  int port_, kmsg_, children_;
  std::string in_, out_;
  uint64_t skip_ = 0;  ///< bytes of a request that was too long
  std::map<uint64_t, Process> processes_;
  std::map<pid_t, std::string> watched_;
};

}  // namespace i915u::guest
