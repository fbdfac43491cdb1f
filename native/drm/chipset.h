// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "drm/device.h"

namespace i915u {

/// The graphics version times 10 of a PCI device id (60, 70, 75, 80, 90, 110, 120, 125); 0: not one
/// that we know. Source: the id lists of the kernel's include/drm/i915_pciids.h, by their ranges.
int graphics_version(uint32_t chipset_id);
/// Of the device, by I915_PARAM_CHIPSET_ID: as above, or -errno.
int graphics_version(Device&);

}  // namespace i915u
