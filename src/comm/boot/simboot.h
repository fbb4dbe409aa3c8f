/* simboot.h - the boot of simulated ranks: gathers and notices through shared memory of the world,
 * delayed like messages. */
#ifndef EPX_COMM_BOOT_SIMBOOT_H
#define EPX_COMM_BOOT_SIMBOOT_H

#include "comm/boot/boot.h"
#include "comm/sim/world.h"

/* members[size]: world ranks; rank: this one's index. group: a number that the members, and only
 * they, agree on. Called by all members. */
EPX_NODISCARD epx_status epx_sim_boot_open(epx_world *world, uint64_t group, const int32_t *members,
                                           int32_t size, int32_t rank, epx_boot **boot_out);

#endif /* EPX_COMM_BOOT_SIMBOOT_H */
