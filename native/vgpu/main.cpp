// SPDX-License-Identifier: MIT
#include <getopt.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "vgpu/device.h"
#include "vgpu/link/server.h"

namespace {

using namespace i915u::vgpu;

constexpr char help[] =
    R"(Usage: i915-vgpu --socket PATH [OPTION]...
An emulated Intel Skylake GT2 GPU for QEMU's vfio-user-pci device.

  --socket PATH         unix socket to listen at; made by this program, removed when QEMU connects
  --accept-timeout SEC  end if nobody has connected by then (default 30)
  --poll-us US          look for the next message for so long before sleeping (default 30)
  --inline N            commands that a submission runs at once, before the engine's thread takes
                        over; 0: none (default 256)
  --gather-us US        an idle engine begins so much later while nobody waits for it; 0: at
                        once (default 300)
  --with-parent PID     end when PID, the process that started this one, ends

For stress, concerning user batches only:
  --batch-delay-us US   wait before each one
  --hang ENGINE[:N]     rcs0, bcs0, vcs0 or vecs0 hangs in each Nth one (default 1)

For stress, concerning the whole device:
  --stale-tlb           keep translations until they are invalidated
  --irq-delay-us US     send each MSI late
  --irq-lose N          do not send each Nth MSI
  --reset-fails         no reset of an engine that hangs ever completes

  --trace FILE          what happens, as text, or as NDJSON if FILE ends in .ndjson
  --stats FILE          counters as one line of JSON, replaced each second and at the end; - is
                        stdout, which gets one more line each time, the first when it listens
  --help

Ends with 0 when QEMU disconnects or a signal asks for it, 1 on an error, 2 on a bad option,
3 when nobody has connected.
)";

bool number(const char* text, uint64_t limit, uint64_t* to) {
  if (*text < '0' || *text > '9') return false;
  char* end;
  errno = 0;
  const unsigned long long v = strtoull(text, &end, 10);
  if (errno || *end || v > limit) return false;
  *to = v;
  return true;
}

bool hang(const char* text, Options* o) {
  const char* colon = strchrnul(text, ':');
  for (int i = 0; i < num_engines; i++)
    if (strlen(engine_info[i].name) == static_cast<size_t>(colon - text) &&
        !strncmp(engine_info[i].name, text, static_cast<size_t>(colon - text)))
      o->hang_engine = i;
  return o->hang_engine >= 0 &&
         (!*colon || (number(colon + 1, UINT32_MAX, &o->hang_every) && o->hang_every));
}

Options options;

void write_stats(Device& device) {
  if (options.stats.empty()) return;
  if (options.stats == "-") {
    printf("%s\n", device.hw.stats.json().c_str());
    fflush(stdout);
    return;
  }
  const std::string next = options.stats + ".next";
  FILE* f = fopen(next.c_str(), "we");
  if (!f) return;
  fprintf(f, "%s\n", device.hw.stats.json().c_str());
  if (fclose(f) == 0) rename(next.c_str(), options.stats.c_str());
}

int usage() {
  fputs("Try i915-vgpu --help.\n", stderr);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  enum {
    socket_option = 1,
    accept_timeout,
    poll_us,
    inline_option,
    gather,
    with_parent,
    batch_delay,
    hang_option,
    stale_tlb,
    irq_delay,
    irq_lose,
    reset_fails,
    trace,
    stats,
    help_option
  };
  static const option names[] = {{"socket", 1, nullptr, socket_option},
                                 {"accept-timeout", 1, nullptr, accept_timeout},
                                 {"poll-us", 1, nullptr, poll_us},
                                 {"inline", 1, nullptr, inline_option},
                                 {"gather-us", 1, nullptr, gather},
                                 {"with-parent", 1, nullptr, with_parent},
                                 {"batch-delay-us", 1, nullptr, batch_delay},
                                 {"hang", 1, nullptr, hang_option},
                                 {"stale-tlb", 0, nullptr, stale_tlb},
                                 {"irq-delay-us", 1, nullptr, irq_delay},
                                 {"irq-lose", 1, nullptr, irq_lose},
                                 {"reset-fails", 0, nullptr, reset_fails},
                                 {"trace", 1, nullptr, trace},
                                 {"stats", 1, nullptr, stats},
                                 {"help", 0, nullptr, help_option},
                                 {}};
  constexpr uint64_t max_us = 60000000;
  const auto microseconds = [](const char* text, uint64_t* ns) {
    const bool ok = number(text, max_us, ns);
    *ns *= 1000;
    return ok;
  };
  uint64_t parent = 0;
  for (int c, at = 0; (c = getopt_long(argc, argv, "", names, &at)) != -1;) {
    bool ok = true;
    switch (c) {
      case socket_option:
        options.socket = optarg;
        break;
      case accept_timeout:
        ok = number(optarg, 86400, &options.accept_timeout_ms);
        options.accept_timeout_ms *= 1000;
        break;
      case poll_us:
        ok = number(optarg, max_us, &options.poll_us);
        break;
      case inline_option:
        ok = number(optarg, 4096, &options.inline_commands);
        break;
      case gather:
        ok = microseconds(optarg, &options.gather_ns);
        break;
      case with_parent:
        ok = number(optarg, INT_MAX, &parent) && parent;
        break;
      case batch_delay:
        ok = microseconds(optarg, &options.batch_delay_ns);
        break;
      case hang_option:
        ok = hang(optarg, &options);
        break;
      case stale_tlb:
        options.stale_tlb = true;
        break;
      case irq_delay:
        ok = microseconds(optarg, &options.irq_delay_ns);
        break;
      case irq_lose:
        ok = number(optarg, UINT32_MAX, &options.irq_lose);
        break;
      case reset_fails:
        options.reset_fails = true;
        break;
      case trace:
        options.trace = optarg;
        break;
      case stats:
        options.stats = optarg;
        break;
      case help_option:
        fputs(help, stdout);
        return 0;
      default:
        return usage();
    }
    if (!ok) {
      fprintf(stderr, "i915-vgpu: --%s: %s is not possible\n", names[at].name, optarg);
      return usage();
    }
  }
  if (options.socket.empty() || optind != argc) return usage();
  // A parent that has ended before the call sends no signal.
  if (parent && (prctl(PR_SET_PDEATHSIG, SIGTERM) || static_cast<uint64_t>(getppid()) != parent)) {
    fprintf(stderr, "i915-vgpu: process %llu is not, or no longer, its parent\n",
            static_cast<unsigned long long>(parent));
    return 1;
  }
  signal(SIGPIPE, SIG_IGN);

  // Before there are threads, so that all have them blocked.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  const int stop = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);

  Device device(options);
  if (!options.trace.empty()) {
    if (const int err = device.hw.trace.open(options.trace)) {
      fprintf(stderr, "i915-vgpu: %s: %s\n", options.trace.c_str(), strerror(-err));
      return 1;
    }
  }
  const int listening = listen_at(options.socket);
  if (listening < 0) {
    fprintf(stderr, "i915-vgpu: %s: %s\n", options.socket.c_str(), strerror(-listening));
    return 1;
  }
  if (options.stats == "-") write_stats(device);
  const int connection = accept_client(listening, options.accept_timeout_ms, stop);
  unlink(options.socket.c_str());
  close(listening);
  if (connection == -EINTR) return 0;
  if (connection < 0) {
    fprintf(stderr, "i915-vgpu: no client: %s\n", strerror(-connection));
    return connection == -ETIMEDOUT ? 3 : 1;
  }
  const int err = serve(device, connection, options.poll_us, stop, write_stats);
  close(connection);
  write_stats(device);
  if (err) fprintf(stderr, "i915-vgpu: %s\n", strerror(-err));
  return err ? 1 : 0;
}
