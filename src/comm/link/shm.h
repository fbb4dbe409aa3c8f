/* shm.h - shared memory between the ranks of a node; `self` is the same for a rank alone. */
#ifndef EPX_COMM_LINK_SHM_H
#define EPX_COMM_LINK_SHM_H

#include "comm/boot/mesh.h"
#include "comm/link/link.h"

/* Collective over members[count] (root ranks, ascending, own included). Borrows mesh, which must
 * live longer; NULL when count is 1 (then the link's name is "self"). */
EPX_NODISCARD epx_status epx_shm_open(int32_t rank, const int32_t *members, int32_t count,
                                      epx_mesh *mesh, uint32_t timeout_ms, epx_link **link_out);

#endif /* EPX_COMM_LINK_SHM_H */
