/* netcount.h - what really crossed the wire: the bytes that interfaces of the nodes have sent.
 *
 * Only where every node has a network of its own (real hosts, network namespaces). Ranks forked on
 * one host share one loopback, which tells nothing about nodes. */
#ifndef TOOLS_COMMON_NETCOUNT_H
#define TOOLS_COMMON_NETCOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include <epx/comm.h>

typedef struct netcount {
    char interface[64]; /* "" when unknown */
    int fd;             /* its tx_bytes; -1 when unknown */
    bool counts;        /* this rank is the one of its node that counts */
    bool known;         /* all nodes can count: equal on all ranks */
} netcount;

/* Collective. The interface: EPX_INTERFACE, else the one towards MASTER_ADDR, else UCX_NET_DEVICES.
 */
epx_status netcount_open(netcount *n, epx_comm *comm);
void netcount_close(netcount *n);

/* Collective: bytes sent by all nodes since their interfaces came up. *bytes_out stays untouched
 * unless n->known. */
epx_status netcount_read(const netcount *n, epx_comm *comm, uint64_t *bytes_out);

#endif /* TOOLS_COMMON_NETCOUNT_H */
