/* simlink.h - simulated links: near (mapped, in process) and far (delayed, lossy, reordering). */
#ifndef EPX_COMM_LINK_SIMLINK_H
#define EPX_COMM_LINK_SIMLINK_H

#include "comm/link/link.h"
#include "comm/sim/world.h"

EPX_NODISCARD epx_status epx_sim_link_open(epx_world *world, int32_t rank, bool mapped,
                                           epx_link **link_out);

#endif /* EPX_COMM_LINK_SIMLINK_H */
