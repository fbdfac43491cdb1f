// SPDX-License-Identifier: MIT
#include "drm/chipset.h"

#include "drm/ioctls.h"

namespace i915u {

namespace {

struct Range {
  uint16_t first, last;
  int version;
};

// Narrow ranges stand before the wide ones that they lie in.
constexpr Range ranges[] = {
    {0x0102, 0x012a, 60},                         // Sandy Bridge
    {0x0155, 0x0157, 70},  {0x0f30, 0x0f33, 70},  // Valleyview
    {0x0152, 0x016a, 70},                         // Ivy Bridge
    {0x0402, 0x042e, 75},  {0x0a02, 0x0a2e, 75},  // Haswell
    {0x0c02, 0x0c2e, 75},  {0x0d02, 0x0d2e, 75},
    {0x1602, 0x163e, 80},  {0x22b0, 0x22b3, 80},   // Broadwell, Cherryview
    {0x0a84, 0x0a84, 90},  {0x1a84, 0x1a85, 90},   // Broxton
    {0x5a84, 0x5a85, 90},  {0x3184, 0x3185, 90},   // Apollo Lake, Gemini Lake
    {0x1902, 0x193d, 90},  {0x5902, 0x593b, 90},   // Skylake, Kaby Lake
    {0x87c0, 0x87ca, 90},  {0x3e90, 0x3ea9, 90},   // Amber Lake, Coffee Lake
    {0x9b21, 0x9bf6, 90},                          // Comet Lake
    {0x8a50, 0x8a71, 110},                         // Ice Lake
    {0x4541, 0x4571, 110}, {0x4e51, 0x4e71, 110},  // Elkhart Lake, Jasper Lake
    {0x9a40, 0x9af8, 120}, {0x4c80, 0x4c9a, 120},  // Tiger Lake, Rocket Lake
    {0x4905, 0x4909, 120},                         // DG1
    {0x4680, 0x46d4, 120}, {0x4626, 0x462a, 120},  // Alder Lake
    {0xa720, 0xa7ad, 120},                         // Raptor Lake
    {0x4f80, 0x4f88, 125}, {0x5690, 0x56c2, 125},  // DG2
    {0x7d40, 0x7de0, 125},                         // Meteor Lake
};

}  // namespace

int graphics_version(uint32_t id) {
  for (const Range& r : ranges)
    if (id >= r.first && id <= r.last) return r.version;
  return 0;
}

int graphics_version(Device& dev) {
  int id = 0;
  const int err = i915_getparam(dev, uapi::I915_PARAM_CHIPSET_ID, &id);
  return err < 0 ? err : graphics_version(static_cast<uint32_t>(id));
}

}  // namespace i915u
