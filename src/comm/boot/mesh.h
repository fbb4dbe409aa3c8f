/* mesh.h - authenticated Unix sockets between the ranks of one host, able to pass descriptors.
 *
 * Abstract names with a random part, so nothing is left in a file system; SO_PEERCRED must show our
 * uid; both sides prove the job key. The end of a socket is the fastest sign of a dead neighbour.
 */
#ifndef EPX_COMM_BOOT_MESH_H
#define EPX_COMM_BOOT_MESH_H

#include "comm/boot/boot.h"

typedef struct epx_mesh epx_mesh;

#define EPX_MESH_MAX_FDS 8

/* Collective over boot (it gathers names). candidates[count] are ranks of boot, ascending, the own
 * one included: those that claim to be on this host. Candidates that turn out unreachable (another
 * network namespace) are left out, which is no error: see epx_mesh_fd(). */
EPX_NODISCARD epx_status epx_mesh_open(epx_boot *boot, const int32_t *candidates, int32_t count,
                                       uint32_t timeout_ms, epx_mesh **mesh_out);
void epx_mesh_close(epx_mesh *mesh); /* accepts NULL */

/* The socket to a rank of boot, -1 when there is none (not a neighbour, or lost). For epoll. */
int epx_mesh_fd(const epx_mesh *mesh, int32_t rank);

/* Sends descriptors with a tag to `rank`, blocking until until_ns. The caller keeps its own. */
EPX_NODISCARD epx_status epx_mesh_send_fds(epx_mesh *mesh, int32_t rank, uint64_t tag,
                                           const int *fds, int count, uint64_t until_ns);
/* Receives exactly count descriptors with that tag; the caller owns them (O_CLOEXEC). */
EPX_NODISCARD epx_status epx_mesh_recv_fds(epx_mesh *mesh, int32_t rank, uint64_t tag, int *fds,
                                           int count, uint64_t until_ns);

/* Without blocking: true if the socket to `rank` has ended. */
bool epx_mesh_lost(epx_mesh *mesh, int32_t rank);

#endif /* EPX_COMM_BOOT_MESH_H */
