// SPDX-License-Identifier: MIT
#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "match/player.h"
#include "soft/device.h"
#include "sync/clock.h"

namespace i915u::match {
namespace {

int64_t open_descriptors() {
  DIR* dir = opendir("/proc/self/fd");
  if (!dir) return 0;
  int64_t n = 0;
  while (const dirent* e = readdir(dir)) n += e->d_name[0] != '.';
  closedir(dir);
  return n - 1;  // the directory's own
}

// Of the whole system, whose other users of long-term pins are taken to be quiet.
int64_t pinned_pages() {
  FILE* f = fopen("/proc/vmstat", "re");
  if (!f) return 0;
  char name[64];
  unsigned long long value, acquired = 0, released = 0;
  while (fscanf(f, "%63s %llu", name, &value) == 2) {
    if (!strcmp(name, "nr_foll_pin_acquired")) acquired = value;
    if (!strcmp(name, "nr_foll_pin_released")) released = value;
  }
  fclose(f);
  return static_cast<int64_t>(acquired - released);
}

// Of the first card, where debugfs is there to be read: the objects that the shrinker knows. The
// driver's own are among them.
int64_t gem_objects() {
  FILE* f = fopen("/sys/kernel/debug/dri/0/i915_gem_objects", "re");
  if (!f) return 0;
  unsigned n = 0, free = 0;
  const int found = fscanf(f, "%u shrinkable [%u free] objects", &n, &free);
  fclose(f);
  return found == 2 ? int64_t{n} - free : 0;
}

// Has the driver of the first card give back what it keeps for a while: batches that ran from a
// copy, what waits for a grace period.
void drop_caches() {
  constexpr const char* path = "/sys/kernel/debug/dri/0/i915_gem_drop_caches";
  // i915_debugfs.c: DROP_RETIRE, DROP_FREED, DROP_IDLE, DROP_RCU.
  constexpr const char* what = "0x254";
  const int fd = ::open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  // One that is refused leaves it to the patience.
  if (::write(fd, what, strlen(what)) < 0) errno = 0;
  ::close(fd);
}

}  // namespace

Leaks count_leaks(Device& dev) {
  Leaks l;
  if (dev.is_soft()) {
    const soft::SoftStats s = static_cast<soft::SoftDevice&>(dev).stats();
    l.pins = static_cast<int64_t>(s.pins_acquired - s.pins_released);
    l.objects = static_cast<int64_t>(s.objects);
  } else {
    l.pins = pinned_pages();
    l.objects = gem_objects();
  }
  l.fds = open_descriptors();
  siginfo_t info{};
  if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0) l.children = 1;
  return l;
}

Leaks Player::left_over() {
  Leaks l = count_leaks(*first_);
  l.pins -= before_.pins;
  l.objects -= before_.objects;
  l.fds -= before_.fds;
  return l;
}

// What is freed late, by a worker or after a grace period, gets its time.
void Player::leaks() {
  constexpr uint64_t patience_ns = 2000000000;
  const uint64_t until = sync::now_ns() + patience_ns;
  if (!first_->is_soft()) drop_caches();
  Leaks l = left_over();
  while ((l.pins || l.objects > 0 || l.fds || l.children) && sync::now_ns() < until) {
    sync::sleep_ns(10000000);
    l = left_over();
  }
  char text[128];
  snprintf(text, sizeof(text), "leaks pins=%lld objects=%lld fds=%lld children=%lld\n",
           static_cast<long long>(l.pins), static_cast<long long>(std::max<int64_t>(l.objects, 0)),
           static_cast<long long>(l.fds), static_cast<long long>(l.children));
  answers_ += text;
}

}  // namespace i915u::match
