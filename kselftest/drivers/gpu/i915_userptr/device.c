// SPDX-License-Identifier: GPL-2.0-only
/* Which node, and which GPU is behind it. */
#define _GNU_SOURCE
#include "i915.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "knobs.h"

/* DRM has 64 render minors, from 128. */
#define FIRST_RENDER 128
#define LAST_RENDER 191

/*
 * PCI ids, from include/drm/intel/i915_pciids.h. Narrow ranges stand before the wide ones that they
 * lie in.
 */
static const struct {
	uint16_t first, last;
	int gen;
} chipsets[] = {
	{ 0x2972, 0x2a43, 40 },						/* 965 to GM45 */
	{ 0x2e02, 0x2e93, 40 },						/* G45 */
	{ 0x0042, 0x0046, 50 },						/* Ironlake */
	{ 0x0102, 0x012a, 60 },						/* Sandy Bridge */
	{ 0x0155, 0x0157, 70 }, { 0x0f30, 0x0f33, 70 },			/* Valleyview */
	{ 0x0152, 0x016a, 70 },						/* Ivy Bridge */
	{ 0x0402, 0x042e, 75 }, { 0x0a02, 0x0a2e, 75 },			/* Haswell */
	{ 0x0c02, 0x0c2e, 75 }, { 0x0d02, 0x0d2e, 75 },
	{ 0x1602, 0x163e, 80 }, { 0x22b0, 0x22b3, 80 },			/* Broadwell, Cherryview */
	{ 0x0a84, 0x0a84, 90 }, { 0x1a84, 0x1a85, 90 },			/* Broxton */
	{ 0x5a84, 0x5a85, 90 }, { 0x3184, 0x3185, 90 },			/* Apollo Lake, Gemini Lake */
	{ 0x1902, 0x193d, 90 }, { 0x5902, 0x593b, 90 },			/* Skylake, Kaby Lake */
	{ 0x87c0, 0x87ca, 90 }, { 0x3e90, 0x3ea9, 90 },			/* Amber Lake, Coffee Lake */
	{ 0x9b21, 0x9bf6, 90 },						/* Comet Lake */
	{ 0x8a50, 0x8a71, 110 },					/* Ice Lake */
	{ 0x4541, 0x4571, 110 }, { 0x4e51, 0x4e71, 110 },		/* Elkhart, Jasper Lake */
	{ 0x9a40, 0x9af8, 120 }, { 0x4c80, 0x4c9a, 120 },		/* Tiger Lake, Rocket Lake */
	{ 0x4905, 0x4909, 120 },					/* DG1 */
	{ 0x4680, 0x46d4, 120 }, { 0x4626, 0x462a, 120 },		/* Alder Lake */
	{ 0xa720, 0xa7ad, 120 },					/* Raptor Lake */
	{ 0x4f80, 0x4f88, 125 }, { 0x5690, 0x56c2, 125 },		/* DG2 */
	{ 0x7d40, 0x7de0, 125 },					/* Meteor Lake */
};

static int gen_of(int chipset)
{
	unsigned int i;

	for (i = 0; i < sizeof(chipsets) / sizeof(chipsets[0]); i++)
		if (chipset >= chipsets[i].first && chipset <= chipsets[i].last)
			return chipsets[i].gen;
	return 0;
}

/* A descriptor of a node that i915 drives, or -errno. */
static int open_node(const char *path)
{
	char name[16] = "";
	struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (ioctl(fd, DRM_IOCTL_VERSION, &version))
		err = errno == ENOTTY ? -ENODEV : -errno;
	else if (strcmp(name, "i915"))
		err = -ENODEV;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

int i915_reopen(const struct i915 *dev)
{
	return open_node(dev->node);
}

int i915_open(struct i915 *dev)
{
	struct drm_i915_gem_context_param gtt = { .param = I915_CONTEXT_PARAM_GTT_SIZE };
	const char *node = knob_device();
	int minor, denied = -ENODEV;

	memset(dev, 0, sizeof(*dev));
	dev->fd = -ENODEV;
	if (node) {
		snprintf(dev->node, sizeof(dev->node), "%s", node);
		dev->fd = open_node(node);
	}
	for (minor = FIRST_RENDER; !node && minor <= LAST_RENDER && dev->fd < 0; minor++) {
		snprintf(dev->node, sizeof(dev->node), "/dev/dri/renderD%d", minor);
		dev->fd = open_node(dev->node);
		if (dev->fd == -EACCES || dev->fd == -EPERM)
			denied = dev->fd;
	}
	if (dev->fd < 0)
		return node ? dev->fd : denied;
	dev->chipset = __i915_getparam(dev->fd, I915_PARAM_CHIPSET_ID);
	dev->gen = gen_of(dev->chipset);
	dev->blitter = __i915_getparam(dev->fd, I915_PARAM_HAS_BLT) > 0;
	dev->softpin = !ioctl(dev->fd, DRM_IOCTL_I915_GEM_CONTEXT_GETPARAM, &gtt) && gtt.value >> 32;
	return 0;
}

const char *i915_why(int err)
{
	static char why[128];

	if (err == -ENODEV)
		snprintf(why, sizeof(why), "no i915: %s",
			 knob_device() ? knob_device() : "no render node is driven by it");
	else
		snprintf(why, sizeof(why), "no i915: %s: %s",
			 knob_device() ? knob_device() : "/dev/dri", strerror(-err));
	return why;
}
