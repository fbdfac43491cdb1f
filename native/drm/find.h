// SPDX-License-Identifier: MIT
// Which DRM nodes this machine has, and which of them may be stressed.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace i915u {

struct NodeInfo {
  std::string path;    ///< /dev/dri/renderD128
  std::string driver;  ///< the kernel driver's name; empty where sysfs does not say
  std::string pci;     ///< its device in sysfs, for PCI 0000:00:02.0; may be empty
  std::string card;    ///< the card node of the same GPU; empty where there is none
  bool render = false;
  int error = 0;  ///< why this process may not use it: -EACCES, -ENODEV (not i915), ...; 0: it may
  /// A process, other than this one, that has the card node open: a display server or the session
  /// manager that opened it for one. 0 when none was seen.
  pid_t holder = 0;
  std::string holder_name;
  /// False when some process's files could not be read: then no holder proves nothing.
  bool holders_known = true;
  /// A connector is lit, by a display server or by the console.
  bool display_on = false;
};

/// Render nodes first, each kind by number. Card nodes are not opened: the first to open one
/// becomes DRM master, and a display server that starts meanwhile would be refused. `root` is put
/// before /dev, /sys and /proc.
std::vector<NodeInfo> find_nodes(const std::string& root = "");

}  // namespace i915u
