// SPDX-License-Identifier: MIT
// From the kernel's first process to one that the host can talk to.
#pragma once

#include <string>

namespace i915u::guest {

/// proc, sys, dev, and a console for what goes wrong.
void mount_kernel_filesystems();

/// Loads the modules of a directory in the order of their names, with the parameters that the
/// kernel's command line has for them (`i915.foo=1`). 0, or the first -errno; the others are still
/// tried, and each failure is on the console.
int load_modules(const std::string& directory);

/// Opens the virtio port of that name, which may take a moment to appear. A descriptor or -errno.
int open_port(const std::string& name);

/// The host's files, read-only beneath a writable layer in memory, become the root. 0 or -errno;
/// `what` says which step failed.
int enter_host_root(const char** what);

}  // namespace i915u::guest
