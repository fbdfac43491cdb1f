// SPDX-License-Identifier: MIT
#include "drm/find.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <map>

#include "drm/device.h"

namespace i915u {
namespace {

/// The names in a directory, without the dots; none when it cannot be read (*err = -errno).
std::vector<std::string> list(const std::string& dir, int* err = nullptr) {
  std::vector<std::string> names;
  if (err) *err = 0;
  DIR* d = ::opendir(dir.c_str());
  if (!d) {
    if (err) *err = -errno;
    return names;
  }
  while (const dirent* e = ::readdir(d))
    if (e->d_name[0] != '.') names.push_back(e->d_name);
  ::closedir(d);
  return names;
}

std::string link_target(const std::string& path) {
  char buf[PATH_MAX];
  const ssize_t n = ::readlink(path.c_str(), buf, sizeof(buf));
  return n > 0 ? std::string(buf, n) : std::string();
}

std::string base_name(const std::string& path) {
  return path.substr(path.rfind('/') + 1);
}

/// The first line of a small file; empty when it cannot be read.
std::string first_line(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  char buf[256];
  const ssize_t n = ::read(fd, buf, sizeof(buf));
  ::close(fd);
  const std::string text(buf, n > 0 ? n : 0);
  return text.substr(0, text.find('\n'));
}

/// The number in "card0" or "renderD128"; -1 when the name is anything else.
long number(const std::string& name, const std::string& prefix) {
  if (name.compare(0, prefix.size(), prefix) != 0 || name.size() == prefix.size()) return -1;
  char* end;
  const long n = std::strtol(name.c_str() + prefix.size(), &end, 10);
  return *end ? -1 : n;
}

struct Holder {
  pid_t pid;
  std::string name;
};

/// Who has a card node open, by the node's path as the kernel shows it in /proc/PID/fd.
std::map<std::string, Holder> holders(const std::string& proc, bool* complete) {
  std::map<std::string, Holder> found;
  *complete = true;
  for (const std::string& pid : list(proc)) {
    if (!std::isdigit(static_cast<unsigned char>(pid[0])) || std::atoi(pid.c_str()) == ::getpid())
      continue;
    int err;
    const std::string dir = proc + "/" + pid;
    for (const std::string& fd : list(dir + "/fd", &err)) {
      const std::string target = link_target(dir + "/fd/" + fd);
      if (target.compare(0, 13, "/dev/dri/card") == 0)
        found.try_emplace(target, Holder{std::atoi(pid.c_str()), first_line(dir + "/comm")});
    }
    // A process that has gone meanwhile (-ENOENT, -ESRCH) holds nothing.
    if (err == -EACCES || err == -EPERM) *complete = false;
  }
  return found;
}

/// A connector of `card` ("card0-HDMI-A-1") that scans out.
bool display_on(const std::string& device_drm, const std::string& card) {
  for (const std::string& name : list(device_drm + "/" + card))
    if (name.compare(0, card.size() + 1, card + "-") == 0 &&
        first_line(device_drm + "/" + card + "/" + name + "/enabled") == "enabled")
      return true;
  return false;
}

}  // namespace

std::vector<NodeInfo> find_nodes(const std::string& root) {
  std::vector<std::pair<long, NodeInfo>> nodes;
  bool complete;
  const auto held = holders(root + "/proc", &complete);
  for (const std::string& name : list(root + "/dev/dri")) {
    const long render = number(name, "renderD"), card = number(name, "card");
    if (render < 0 && card < 0) continue;
    NodeInfo n;
    n.path = root + "/dev/dri/" + name;
    n.render = render >= 0;

    const std::string device = root + "/sys/class/drm/" + name + "/device";
    n.pci = base_name(link_target(device));
    n.driver = base_name(link_target(device + "/driver"));
    for (const std::string& sibling : list(device + "/drm"))
      if (number(sibling, "card") >= 0) n.card = "/dev/dri/" + sibling;
    if (!n.card.empty()) {
      n.display_on = display_on(device + "/drm", base_name(n.card));
      n.holders_known = complete;
      if (const auto h = held.find(n.card); h != held.end()) {
        n.holder = h->second.pid;
        n.holder_name = h->second.name;
      }
    }

    if (n.render) {
      std::string driver;
      open_node(n.path.c_str(), &n.error, &driver);
      if (!driver.empty()) n.driver = driver;
    } else if (::faccessat(AT_FDCWD, n.path.c_str(), R_OK | W_OK, AT_EACCESS) < 0) {
      n.error = -errno;
    } else if (n.driver != "i915") {
      n.error = -ENODEV;
    }
    nodes.emplace_back(n.render ? render : LONG_MAX / 2 + card, std::move(n));
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<NodeInfo> result;
  for (auto& [order, node] : nodes) result.push_back(std::move(node));
  return result;
}

}  // namespace i915u
