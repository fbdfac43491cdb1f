// SPDX-License-Identifier: MIT
// Chains of i915_user_extension (kernel: i915_user_extensions.c, its algorithm).
#pragma once

#include <cstddef>
#include <cstdint>

namespace i915u::soft {

/// `ext` is the user's address of the extension, whose head has been checked. 0 or -errno.
using UserExtension = int (*)(uint64_t ext, void* data);

/// Walks the chain at `ext` (0: none); a name beyond `count` is -EINVAL, more than 512 are -E2BIG.
int user_extensions(uint64_t ext, const UserExtension* table, size_t count, void* data);

}  // namespace i915u::soft
