// SPDX-License-Identifier: MIT
// The guest's first process. It is all that the initramfs has beside kernel modules: it loads
// those, puts the host's files under a writable layer, and serves the host (agent.h) until the
// machine is ended from outside. Nothing here waits for a process: one that hangs in the kernel
// takes nothing else along.
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "guest/agent.h"
#include "guest/boot.h"

using namespace i915u::guest;

namespace {

[[noreturn]] void give_up(const char* what, int err) {
  fprintf(stderr, "init: %s: %s\n", what, strerror(-err));
  reboot(RB_AUTOBOOT);  // which ends a QEMU that was started with -no-reboot
  _exit(1);
}

std::string stage(const char* name, int err = 0, const char* what = "") {
  return "{\"stage\":" + quoted(name) + ",\"us\":" + std::to_string(now_us()) +
         ",\"status\":" + std::to_string(-err) + ",\"what\":" + quoted(what) + "}";
}

}  // namespace

int main() {
  if (getpid() != 1) {
    fputs("This is the init of i915-userptr's guests.\n", stderr);
    return 2;
  }
  mlockall(MCL_CURRENT | MCL_FUTURE);
  const std::string began = stage("init");
  mount_kernel_filesystems();
  if (const int err = load_modules("/modules/base")) give_up("the modules that init needs", err);
  const int port = open_port("agent");
  if (port < 0) give_up("the virtio port 'agent'", port);

  Agent agent(port);
  agent.say(began);
  agent.say(stage("agent"));
  agent.flush();
  // The probe of the GPU takes longest, and nothing waits for it here.
  const pid_t gpu = fork();
  if (gpu == 0) _exit(-load_modules("/modules/gpu"));
  const char* what = "";
  const int err = enter_host_root(&what);
  agent.say(stage("root", err, what));
  agent.watch(gpu, "gpu");
  agent.serve();
  give_up("the agent's port", -EIO);
}
