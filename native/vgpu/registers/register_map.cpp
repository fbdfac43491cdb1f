// SPDX-License-Identifier: MIT
#include "vgpu/registers/register_map.h"

#include <iterator>

#include "vgpu/engine/engine_info.h"

namespace i915u::vgpu {

namespace {

using B = Behaviour;
constexpr uint32_t all_ones = UINT32_MAX;

constexpr Register engine_table[] = {
    {0x028, "RING_EXCC"},
    {0x030, "RING_TAIL"},
    {0x034, "RING_HEAD"},
    {0x038, "RING_START"},
    {0x03c, "RING_CTL"},
    {0x040, "RING_SYNC", B::plain, 0, 0, 3},
    {0x050, "RING_PSMI_CTL", B::masked},
    {0x054, "RING_MAX_IDLE"},
    {0x05c, "RING_ACTHD_UDW"},
    {0x060, "RING_DMA_FADD_UDW"},
    {0x064, "RING_IPEIR"},
    {0x068, "RING_IPEHR"},
    {0x06c, "RING_INSTDONE", B::plain, all_ones},
    {0x070, "RING_INSTPS"},
    {0x074, "RING_ACTHD"},
    {0x078, "RING_DMA_FADD"},
    {0x080, "RING_HWS_PGA"},
    {0x094, "RING_NOPID"},
    {0x098, "RING_HWSTAM"},
    {0x09c, "RING_MI_MODE", B::mode, mode_idle},
    {0x0a8, "RING_IMR", B::engine_imr, all_ones},
    {0x0b0, "RING_EIR", B::write_one_clears},
    {0x0b4, "RING_EMR", B::plain, all_ones},
    {0x0b8, "RING_ESR", B::read_only},
    {0x0c0, "RING_INSTPM", B::masked},
    {0x0c4, "RING_CMD_CCTL", B::masked},
    {0x0c8, "GEN8_R_PWR_CLK_STATE"},
    {0x0d0, "RING_RESET_CTL", B::reset_control},
    {0x110, "RING_BBSTATE"},
    {0x114, "RING_SBBADDR"},
    {0x118, "RING_SBBSTATE"},
    {0x11c, "RING_SBBADDR_UDW"},
    {0x140, "RING_BBADDR"},
    {0x158, "RING_BB_OFFSET"},
    {0x168, "RING_BBADDR_UDW"},
    {0x1c0, "RING_BB_PER_CTX_PTR"},
    {0x1c4, "RING_INDIRECT_CTX"},
    {0x1c8, "RING_INDIRECT_CTX_OFFSET"},
    {0x1d0, "ECOSKPD", B::masked},
    {0x220, "RING_PP_DIR_DCLV"},
    {0x228, "RING_PP_DIR_BASE"},
    {0x230, "RING_ELSP", B::submit_port},
    {0x234, "RING_EXECLIST_STATUS_LO", B::read_only},
    {0x238, "RING_EXECLIST_STATUS_HI", B::read_only},
    {0x244, "RING_CONTEXT_CONTROL", B::masked},
    {0x24c, "RING_SEMA_WAIT_POLL"},
    {0x270, "GEN8_RING_PDP", B::plain, 0, 0, 8},
    {0x29c, "RING_MODE_GEN7", B::masked},
    {0x358, "RING_TIMESTAMP", B::timestamp},
    {0x35c, "RING_TIMESTAMP_UDW", B::timestamp, 0, 32},
    {0x370, "RING_CONTEXT_STATUS_BUF", B::read_only, 0, 0, 12},
    {0x3a0, "RING_CONTEXT_STATUS_PTR", B::status_pointer},
    {0x3a8, "RING_CTX_TIMESTAMP", B::timestamp},
    {0x4d0, "RING_FORCE_TO_NONPRIV", B::plain, 0, 0, 12},
};

constexpr Register shared_table[] = {
    // Faults and invalidation.
    {0x4094, "GEN8_RING_FAULT_REG"},
    {0x4260, "GEN8_RTCR", B::tlb_invalidate, 0, 1u << rcs0},
    {0x4264, "GEN8_M1TCR", B::tlb_invalidate, 0, 1u << vcs0},
    {0x4268, "GEN8_M2TCR", B::tlb_invalidate},
    {0x426c, "GEN8_BTCR", B::tlb_invalidate, 0, 1u << bcs0},
    {0x4270, "GEN8_VTCR", B::tlb_invalidate, 0, 1u << vecs0},
    {0x4274, "GEN8_GTCR", B::tlb_invalidate, 0, (1u << num_engines) - 1},
    {0x4b10, "GEN8_FAULT_TLB_DATA0"},
    {0x4b14, "GEN8_FAULT_TLB_DATA1"},
    {0x101008, "GFX_FLSH_CNTL_GEN6", B::ggtt_flush},
    {0x941c, "GEN6_GDRST", B::domain_reset},

    // What the chip has: all of GT2's shaders, and no display pipe, by fuses.
    {0x9120, "GEN8_FUSE2", B::read_only, 0x02800000},
    {0x9124, "GEN8_EU_DISABLE", B::read_only, 0, 0, 3},
    {0x42000, "SKL_FUSE_STATUS", B::read_only, 0x8e000000},
    {0x42014, "FUSE_STRAP", B::read_only},
    {0x51000, "SKL_DFSM", B::read_only, 0x50200000},

    // Forcewake, power and frequency.
    {0xd84, "FORCEWAKE_ACK_RENDER_GEN9", B::read_only},
    {0xd88, "FORCEWAKE_ACK_MEDIA_GEN9", B::read_only},
    {0x130044, "FORCEWAKE_ACK_GT_GEN9", B::read_only},
    {0xa188, "FORCEWAKE_GT_GEN9", B::forcewake, 0, 0x130044},
    {0xa270, "FORCEWAKE_MEDIA_GEN9", B::forcewake, 0, 0xd88},
    {0xa278, "FORCEWAKE_RENDER_GEN9", B::forcewake, 0, 0xd84},
    {0x8504, "GEN8_RC6_CTX_INFO", B::read_only, 1},
    {0xd00, "RPM_CONFIG0"},
    {0xd40, "RC6_LOCATION"},
    {0xd48, "RC6_CTX_BASE"},
    {0xa008, "GEN6_RPNSWREQ"},
    {0xa00c, "GEN6_RC_VIDEO_FREQ"},
    {0xa010, "GEN6_RP_DOWN_TIMEOUT"},
    {0xa014, "GEN6_RP_INTERRUPT_LIMITS"},
    {0xa01c, "GEN6_RPSTAT1"},
    {0xa024, "GEN6_RP_CONTROL"},
    {0xa02c, "GEN6_RP_UP_THRESHOLD"},
    {0xa030, "GEN6_RP_DOWN_THRESHOLD"},
    {0xa050, "GEN6_RP_CUR_UP_EI"},
    {0xa054, "GEN6_RP_CUR_UP"},
    {0xa058, "GEN6_RP_PREV_UP"},
    {0xa05c, "GEN6_RP_CUR_DOWN_EI"},
    {0xa060, "GEN6_RP_CUR_DOWN"},
    {0xa064, "GEN6_RP_PREV_DOWN"},
    {0xa068, "GEN6_RP_UP_EI"},
    {0xa06c, "GEN6_RP_DOWN_EI"},
    {0xa070, "GEN6_RP_IDLE_HYSTERSIS"},
    {0xa090, "GEN6_RC_CONTROL"},
    {0xa094, "GEN6_RC_STATE"},
    {0xa098, "GEN6_RC1_WAKE_RATE_LIMIT"},
    {0xa09c, "GEN6_RC6_WAKE_RATE_LIMIT"},
    {0xa0a8, "GEN6_RC_EVALUATION_INTERVAL"},
    {0xa0ac, "GEN6_RC_IDLE_HYSTERSIS"},
    {0xa0b0, "GEN6_RC_SLEEP"},
    {0xa0b8, "GEN6_RC6_THRESHOLD"},
    {0x45400, "HSW_PWR_WELL_CTL1", B::power_well},
    {0x45404, "HSW_PWR_WELL_CTL2", B::power_well},
    {0x45408, "HSW_PWR_WELL_CTL3", B::power_well},
    {0x4540c, "HSW_PWR_WELL_CTL4", B::power_well},
    {0x138108, "GEN6_GT_GFX_RC6", B::rc6_residency},
    {0x138124, "GEN6_PCODE_MAILBOX", B::pcode_mailbox},
    {0x138128, "GEN6_PCODE_DATA"},
    {0x13812c, "GEN6_PCODE_DATA1"},
    // RP0 1.1 GHz, RP1 350 MHz, RPn 300 MHz, in 50 MHz.
    {0x145998, "GEN6_RP_STATE_CAP", B::read_only, 0x00060716},

    // Interrupts: the GT's work, the display's and PCU's never come.
    {0x44200, "GEN8_MASTER_IRQ", B::interrupt},
    {0x44300, "GEN8_GT_ISR0", B::read_only},
    {0x44304, "GEN8_GT_IMR0", B::interrupt, all_ones},
    {0x44308, "GEN8_GT_IIR0", B::interrupt},
    {0x4430c, "GEN8_GT_IER0", B::interrupt},
    {0x44310, "GEN8_GT_ISR1", B::read_only},
    {0x44314, "GEN8_GT_IMR1", B::interrupt, all_ones},
    {0x44318, "GEN8_GT_IIR1", B::interrupt},
    {0x4431c, "GEN8_GT_IER1", B::interrupt},
    {0x44320, "GEN8_GT_ISR2", B::read_only},
    {0x44324, "GEN8_GT_IMR2", B::interrupt, all_ones},
    {0x44328, "GEN8_GT_IIR2", B::interrupt},
    {0x4432c, "GEN8_GT_IER2", B::interrupt},
    {0x44330, "GEN8_GT_ISR3", B::read_only},
    {0x44334, "GEN8_GT_IMR3", B::interrupt, all_ones},
    {0x44338, "GEN8_GT_IIR3", B::interrupt},
    {0x4433c, "GEN8_GT_IER3", B::interrupt},
    {0x44404, "GEN8_DE_PIPE_IMR_A", B::plain, all_ones},
    {0x44408, "GEN8_DE_PIPE_IIR_A", B::write_one_clears},
    {0x4440c, "GEN8_DE_PIPE_IER_A"},
    {0x44414, "GEN8_DE_PIPE_IMR_B", B::plain, all_ones},
    {0x44418, "GEN8_DE_PIPE_IIR_B", B::write_one_clears},
    {0x4441c, "GEN8_DE_PIPE_IER_B"},
    {0x44424, "GEN8_DE_PIPE_IMR_C", B::plain, all_ones},
    {0x44428, "GEN8_DE_PIPE_IIR_C", B::write_one_clears},
    {0x4442c, "GEN8_DE_PIPE_IER_C"},
    {0x44444, "GEN8_DE_PORT_IMR", B::plain, all_ones},
    {0x44448, "GEN8_DE_PORT_IIR", B::write_one_clears},
    {0x4444c, "GEN8_DE_PORT_IER"},
    {0x44464, "GEN8_DE_MISC_IMR", B::plain, all_ones},
    {0x44468, "GEN8_DE_MISC_IIR", B::write_one_clears},
    {0x4446c, "GEN8_DE_MISC_IER"},
    {0x444e4, "GEN8_PCU_IMR", B::plain, all_ones},
    {0x444e8, "GEN8_PCU_IIR", B::write_one_clears},
    {0x444ec, "GEN8_PCU_IER"},
    {0xc4000, "SDEISR", B::read_only},
    {0xc4004, "SDEIMR", B::plain, all_ones},
    {0xc4008, "SDEIIR", B::write_one_clears},
    {0xc400c, "SDEIER"},

    // The microcontroller is held in reset.
    {0xc000, "GUC_STATUS", B::read_only, 1},

    // Caching tables and fences: kept, without effect.
    {0xb020, "GEN9_LNCFCMOCS", B::plain, 0, 0, 32},
    {0xc800, "GEN9_GFX_MOCS", B::plain, 0, 0, 64},
    {0xc900, "GEN9_MFX0_MOCS", B::plain, 0, 0, 64},
    {0xca00, "GEN9_MFX1_MOCS", B::plain, 0, 0, 64},
    {0xcb00, "GEN9_VEBOX_MOCS", B::plain, 0, 0, 64},
    {0xcc00, "GEN9_BLT_MOCS", B::plain, 0, 0, 64},
    {0x100000, "FENCE_REG_GEN6", B::plain, 0, 0, 64},
};

}  // namespace

RegisterTable shared_registers() {
  return {shared_table, std::size(shared_table)};
}

RegisterTable engine_registers() {
  return {engine_table, std::size(engine_table)};
}

}  // namespace i915u::vgpu
