// SPDX-License-Identifier: MIT
// The socket: one client, from its connection to its end.
#pragma once

#include <cstdint>
#include <string>

#include "vgpu/device.h"

namespace i915u::vgpu {

/// Listens at the path, waits for a client and removes the path again. The connection, -ETIMEDOUT,
/// -EINTR when `stop_fd` becomes readable, or another -errno.
int accept_at(const std::string& path, uint64_t timeout_ms, int stop_fd);
/// A connected socket that this process was started with. The same, or -errno.
int inherited(uint64_t fd);
/// Serves until the client goes (0), `stop_fd` becomes readable (0), or the stream cannot be
/// understood (-EPROTO). `tick` is called each second.
int serve(Device& device, int connection, uint64_t poll_us, int stop_fd, void (*tick)(Device&));

}  // namespace i915u::vgpu
