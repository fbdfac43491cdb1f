// SPDX-License-Identifier: MIT
#include "soft/user_extensions.h"

#include <errno.h>

#include "drm/uapi.h"
#include "mem/uaccess.h"

namespace i915u::soft {

int user_extensions(uint64_t ext, const UserExtension* table, size_t count, void* data) {
  for (int depth = 0; ext; depth++) {
    if (depth == 512) return -E2BIG;
    uapi::i915_user_extension head;
    if (copy_from_user(&head, ext, sizeof(head))) return -EFAULT;
    if (head.flags) return -EINVAL;
    for (uint32_t r : head.rsvd)
      if (r) return -EINVAL;
    if (head.name >= count || !table[head.name]) return -EINVAL;
    if (int err = table[head.name](ext, data)) return err;
    ext = head.next_extension;
  }
  return 0;
}

}  // namespace i915u::soft
