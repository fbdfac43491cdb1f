// SPDX-License-Identifier: MIT
#pragma once

namespace i915u::uapi {
struct drm_i915_gem_execbuffer2;
}

namespace i915u::soft {

struct File;

/// GEM_EXECBUFFER2 (and _WR: rsvd2 carries the out fence back). `args` has been copied in; the
/// caller copies it out for _WR. 0 or -errno.
int ioctl_execbuffer2(File& file, uapi::drm_i915_gem_execbuffer2& args);

}  // namespace i915u::soft
