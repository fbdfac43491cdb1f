// SPDX-License-Identifier: MIT
#include "guest/boot.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <vector>

namespace i915u::guest {

namespace {

std::vector<std::string> names_in(const std::string& directory) {
  std::vector<std::string> out;
  if (DIR* d = opendir(directory.c_str())) {
    while (const dirent* e = readdir(d))
      if (e->d_name[0] != '.') out.emplace_back(e->d_name);
    closedir(d);
  }
  std::sort(out.begin(), out.end());
  return out;
}

/// Read once: /proc moves while the child that loads i915 is at it.
const std::string& command_line() {
  static const std::string text = [] {
    std::ifstream file("/proc/cmdline");
    std::string line;
    std::getline(file, line);
    return line;
  }();
  return text;
}

/// What the command line has for a module: `name.key=value` becomes `key=value`.
std::string parameters_of(const std::string& module) {
  std::istringstream cmdline(command_line());
  std::string word, out;
  while (cmdline >> word) {
    const size_t dot = word.find('.');
    if (dot == std::string::npos) continue;
    std::string of = word.substr(0, dot);
    std::replace(of.begin(), of.end(), '-', '_');
    if (of == module) out += (out.empty() ? "" : " ") + word.substr(dot + 1);
  }
  return out;
}

/// "03-drm_kms_helper.ko": drm_kms_helper
std::string module_name(const std::string& file) {
  const size_t dash = file.find('-');
  std::string name = file.substr(dash == std::string::npos ? 0 : dash + 1);
  return name.substr(0, name.find('.'));
}

}  // namespace

void mount_kernel_filesystems() {
  for (const char* d : {"/proc", "/sys", "/dev", "/host", "/rw", "/new"}) mkdir(d, 0755);
  mount("proc", "/proc", "proc", 0, nullptr);
  mount("sysfs", "/sys", "sysfs", 0, nullptr);
  mount("devtmpfs", "/dev", "devtmpfs", 0, nullptr);  // EBUSY where the kernel has done it
  const int console = open("/dev/console", O_RDWR);
  for (int fd = 0; console >= 0 && fd < 3; fd++) dup2(console, fd);
  if (console > 2) close(console);
}

int load_modules(const std::string& directory) {
  int first = 0;
  for (const std::string& file : names_in(directory)) {
    const std::string name = module_name(file);
    const int fd = open((directory + "/" + file).c_str(), O_RDONLY | O_CLOEXEC);
    const bool failed = fd < 0 || syscall(SYS_finit_module, fd, parameters_of(name).c_str(), 0) < 0;
    const int err = errno;
    if (fd >= 0) close(fd);
    if (!failed || err == EEXIST) continue;
    fprintf(stderr, "init: module %s: %s\n", name.c_str(), strerror(err));
    if (!first) first = -err;
  }
  return first;
}

int open_port(const std::string& name) {
  const std::string ports = "/sys/class/virtio-ports";
  for (int tries = 0; tries < 500; tries++) {
    for (const std::string& port : names_in(ports)) {
      std::ifstream file(ports + "/" + port + "/name");
      std::string its;
      if (std::getline(file, its) && its == name) {
        const int fd = open(("/dev/" + port).c_str(), O_RDWR | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
      }
    }
    usleep(10000);
  }
  return -ENODEV;
}

int enter_host_root(const char** what) {
  const auto step = [&](const char* of, int result) {
    *what = of;
    return result < 0 ? -errno : 0;
  };
  int err;
  // cache=loose: the host's files are taken not to change while the guest runs.
  if ((err = step("mount of the host's files by 9p",
                  mount("hostroot", "/host", "9p", MS_RDONLY,
                        "trans=virtio,version=9p2000.L,msize=524288,cache=loose"))) ||
      (err = step("mount of a tmpfs", mount("rw", "/rw", "tmpfs", 0, "mode=755"))) ||
      (err = step("mkdir", mkdir("/rw/upper", 0755))) ||
      (err = step("mkdir", mkdir("/rw/work", 0755))) ||
      (err = step("mount of the overlay",
                  mount("root", "/new", "overlay", 0,
                        "lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work"))))
    return err;
  for (const char* d : {"/proc", "/sys", "/dev", "/tmp", "/run"})
    mkdir((std::string("/new") + d).c_str(), 0755);
  if ((err = step("move of /proc", mount("/proc", "/new/proc", nullptr, MS_MOVE, nullptr))) ||
      (err = step("move of /sys", mount("/sys", "/new/sys", nullptr, MS_MOVE, nullptr))) ||
      (err = step("move of /dev", mount("/dev", "/new/dev", nullptr, MS_MOVE, nullptr))) ||
      (err = step("chdir", chdir("/new"))) ||
      (err = step("move of the root", mount(".", "/", nullptr, MS_MOVE, nullptr))) ||
      (err = step("chroot", chroot("."))) || (err = step("chdir", chdir("/"))))
    return err;
  mount("run", "/run", "tmpfs", 0, "mode=755");
  mkdir("/dev/shm", 0755), mkdir("/dev/pts", 0755);
  mount("shm", "/dev/shm", "tmpfs", 0, "mode=1777");
  mount("devpts", "/dev/pts", "devpts", 0, "mode=620,ptmxmode=666");
  // Not there in every kernel.
  mount("debugfs", "/sys/kernel/debug", "debugfs", 0, nullptr);
  mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, nullptr);
  if (symlink("/proc/self/fd", "/dev/fd") == 0) {
    [[maybe_unused]] int n = symlink("/proc/self/fd/0", "/dev/stdin");
    n = symlink("/proc/self/fd/1", "/dev/stdout");
    n = symlink("/proc/self/fd/2", "/dev/stderr");
  }
  return 0;
}

}  // namespace i915u::guest
