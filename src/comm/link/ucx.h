/* ucx.h - UCX between nodes: two-sided tags for chunks, active messages for credits and notices. */
#ifndef EPX_COMM_LINK_UCX_H
#define EPX_COMM_LINK_UCX_H

#include "comm/boot/boot.h"
#include "comm/link/link.h"

/* Collective over boot (addresses travel only over it). near_ranks[boot->size]: true for ranks that
 * another link serves; no endpoint is made to them. tcp_only: some of the others are on this very
 * host, so shared memory would bypass the network behind our back. libucp is loaded here; when it
 * is missing, the error says which package to install. */
EPX_NODISCARD epx_status epx_ucx_open(epx_boot *boot, const bool *near_ranks, bool tcp_only,
                                      uint32_t timeout_ms, epx_link **link_out);

/* What UCX says about its endpoint to root rank `rank` (ucp_ep_print_info), for tests: lanes and
 * transports. Writes at most size bytes, NUL-terminated. */
EPX_NODISCARD epx_status epx_ucx_describe(epx_link *link, int32_t rank, char *text, size_t size);

#endif /* EPX_COMM_LINK_UCX_H */
