// SPDX-License-Identifier: MIT
// The socket: one client, from its connection to its end.
#pragma once

#include <cstdint>
#include <string>

#include "vgpu/device.h"

namespace i915u::vgpu {

/// Listens at the path, where only this user may connect. The socket, or -errno.
int listen_at(const std::string& path);
/// Waits for a client. The connection, -ETIMEDOUT, -EINTR when `stop_fd` becomes readable, or
/// another -errno.
int accept_client(int listening, uint64_t timeout_ms, int stop_fd);
/// Serves until the client goes (0), `stop_fd` becomes readable (0), or the stream cannot be
/// understood (-EPROTO). `tick` is called each second.
int serve(Device& device, int connection, uint64_t poll_us, int stop_fd, void (*tick)(Device&));

}  // namespace i915u::vgpu
