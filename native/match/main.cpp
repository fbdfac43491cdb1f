// SPDX-License-Identifier: MIT
// i915-player: plays sequences of calls from its standard input on a device, and answers on its
// standard output, a line each. The words of both: player.h and parse.cpp. Exit status: 0 the input
// is over; 2 usage, or input that makes no sense; 3 no device, or a call that does not come back.
#include <signal.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <vector>

#include "match/outcomes.h"
#include "match/player.h"
#include "soft/device.h"
#include "sync/clock.h"
#include "sync/thread.h"
#include "sync/wait_queue.h"

using namespace i915u;
using namespace i915u::match;

namespace {

enum Exit { done = 0, bad_usage = 2, cannot_run = 3 };

constexpr uint64_t hang_s = 10, hang_slow_s = 20;
constexpr size_t flush_at = 64 << 10;

struct Options {
  std::string device;
  soft::SoftOptions soft;
  uint64_t hang_s = ::hang_s;
  uint32_t outcomes = 0;
  uint64_t seed = 1;
};

int usage(const std::string& why) {
  fprintf(stderr,
          "i915-player: %s\n"
          "usage: i915-player soft [--kernel 6.1|6.12|7.2|7.3] [--break FAULT]... [--slow]\n"
          "                        [--outcomes SCHEDULES [--seed SEED]]\n"
          "       i915-player /dev/dri/renderD128 [--slow]\n",
          why.c_str());
  return bad_usage;
}

int failed(const std::string& why) {
  fprintf(stderr, "i915-player: %s\n", why.c_str());
  return cannot_run;
}

bool write_all(const char* text, size_t len) {
  while (len) {
    const ssize_t n = write(STDOUT_FILENO, text, len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text += n;
    len -= static_cast<size_t>(n);
  }
  return true;
}

// Tells what was answered so far and ends the process, when one op is under way for too long.
class Watch {
 public:
  Watch(const Player& player, uint64_t limit_s)
      : thread_("watch", [this, &player, limit_s] { run(player, limit_s); }) {}
  ~Watch() {
    sync::Guard g(lock_);
    over_ = true;
    wake_.wake_all();
  }

 private:
  void run(const Player& player, uint64_t limit_s) {
    constexpr uint64_t second_ns = 1000000000;
    uint64_t seen = 0;
    sync::Guard g(lock_);
    for (uint64_t s = 0; s < limit_s; s++) {
      if (wake_.wait(lock_, sync::now_ns() + second_ns, [&] { return over_; })) return;
      const uint64_t ticket = player.progress().ticket;
      if (!ticket || ticket != seen) s = 0;
      seen = ticket;
    }
    const std::string text =
        player.answers() + "hang " + std::to_string(player.progress().op) + "\n";
    write_all(text.data(), text.size());
    _exit(cannot_run);
  }

  static constexpr sync::LockClass lock_class{"player's watch"};
  sync::Mutex lock_{lock_class};
  sync::WaitQueue wake_;
  bool over_ = false;
  sync::Thread thread_;  // last: it uses the others, and is joined first
};

int play(Player& player) {
  static char buffer[max_line + 1];
  size_t have = 0;
  const auto flush = [&] {
    const bool ok = write_all(player.answers().data(), player.answers().size());
    player.clear_answers();
    return ok;
  };
  for (;;) {
    const ssize_t n = read(STDIN_FILENO, buffer + have, sizeof(buffer) - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    have += static_cast<size_t>(n);
    size_t from = 0;
    while (const void* end = memchr(buffer + from, '\n', have - from)) {
      const size_t len = static_cast<size_t>(static_cast<const char*>(end) - buffer) - from;
      if (!player.line({buffer + from, len})) {
        flush();
        return bad_usage;
      }
      from += len + 1;
      if (player.answers().size() >= flush_at && !flush()) return cannot_run;
    }
    memmove(buffer, buffer + from, have - from);
    have -= from;
    if (have == sizeof(buffer)) {
      const char* text = "error too long a line\n";
      flush();
      write_all(text, strlen(text));
      return bad_usage;
    }
    if (!flush()) return cannot_run;
  }
  if (!have && !player.in_sequence()) return done;
  const char* text = "error the input ends within a sequence\n";
  write_all(text, strlen(text));
  return bad_usage;
}

const soft::FaultName* find_fault(const std::string& name) {
  for (const auto* f = soft::fault_names; f->name; f++)
    if (name == f->name) return f;
  return nullptr;
}

std::string read_options(int argc, char** argv, Options* o) {
  if (argc < 2) return "a device is wanted";
  o->device = argv[1];
  const bool soft = o->device == "soft";
  for (int i = 2; i < argc; i++) {
    const std::string name = argv[i];
    if (name == "--slow") {
      o->hang_s = hang_slow_s;
      continue;
    }
    if (!soft || i + 1 == argc) return name + ": what is that?";
    const std::string value = argv[++i];
    if (name == "--outcomes" || name == "--seed") {
      char* end;
      errno = 0;
      const uint64_t n = strtoull(value.c_str(), &end, 10);
      if (value.empty() || *end || errno || value[0] == '-') return name + ": a number";
      if (name == "--seed") {
        o->seed = n;
        continue;
      }
      if (!n || n > max_schedules) return "--outcomes: 1 to " + std::to_string(max_schedules);
      o->outcomes = static_cast<uint32_t>(n);
    } else if (name == "--kernel") {
      o->soft.kernel = value;
    } else if (name == "--break") {
      const auto* fault = find_fault(value);
      if (!fault) return "--break " + value + ": no such fault";
      o->soft.faults |= fault->bit;
    } else {
      return name + ": what is that?";
    }
  }
  return {};
}

void say_ready(const Options& o) {
  const bool soft = o.device == "soft";
  utsname name;
  uname(&name);
  printf(
      "{\"ready\":1,\"arena\":\"0x%llx\",\"arenaSize\":%llu,\"args\":\"0x%llx\",\"argsSize\":%llu,"
      "\"device\":\"%s\",\"kernel\":\"%s\"}\n",
      static_cast<unsigned long long>(arena_at), static_cast<unsigned long long>(arena_size),
      static_cast<unsigned long long>(args_at), static_cast<unsigned long long>(args_size),
      o.device.c_str(), soft ? o.soft.kernel.c_str() : name.release);
  fflush(stdout);
}

// Each sequence that is read is played under many schedules.
int play_outcomes(const Options& o) {
  int err = 0;
  if (!soft::SoftDevice::open(o.soft, &err)) return failed(o.soft.kernel + ": " + strerror(-err));
  say_ready(o);
  Outcomes outcomes(o.soft, o.seed);
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) {
    lines.push_back(line);
    if (line != "end") continue;
    std::string said;
    const bool ok = outcomes.play(lines, o.outcomes, &said, [](uint32_t n) {
      const std::string text = "schedules " + std::to_string(n) + "\n";
      write_all(text.data(), text.size());
    });
    if (!write_all(said.data(), said.size())) return cannot_run;
    if (!ok) return bad_usage;
    lines.clear();
  }
  if (lines.empty()) return done;
  const char* text = "error the input ends within a sequence\n";
  write_all(text, strlen(text));
  return bad_usage;
}

int run(const Options& o) {
  const bool soft = o.device == "soft";
  int err = 0;
  std::string driver;
  std::unique_ptr<Device> first;
  Player::Open open;
  if (soft) {
    auto device = soft::SoftDevice::open(o.soft, &err);
    open = [d = device.get()](int*) { return d->reopen(); };
    first = std::move(device);
  } else {
    open = [&](int* e) { return open_node(o.device.c_str(), e, &driver); };
    first = open(&err);
  }
  if (!first)
    return failed(o.device + ": " +
                  (driver.empty() || driver == "i915" ? strerror(-err) : "driver is " + driver));
  Player player(std::move(first), open);
  if ((err = player.init())) return failed(std::string("memory: ") + strerror(-err));

  say_ready(o);

  const Watch watch(player, o.hang_s);
  return play(player);
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  Options o;
  if (const std::string why = read_options(argc, argv, &o); !why.empty()) return usage(why);
  return o.outcomes ? play_outcomes(o) : run(o);
}
