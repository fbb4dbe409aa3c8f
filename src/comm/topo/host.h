/* host.h - this host by hwloc: NUMA nodes, cores, network devices. A device's rate and state come
 * from the network and infiniband classes of sysfs. */
#ifndef EPX_COMM_TOPO_HOST_H
#define EPX_COMM_TOPO_HOST_H

#include <stdint.h>

#include "core/fail.h"

#define EPX_HOST_MAX_NICS 64

typedef struct epx_host_nic {
    char name[32]; /* "eth0", "mlx5_0" */
    int32_t numa;  /* the system's number of its node, -1: unknown */
    int64_t mbps;  /* -1: unknown */
    int32_t up;    /* 1, 0, or -1: unknown */
} epx_host_nic;

typedef struct epx_host {
    int32_t num_numa; /* -1: unknown, also below */
    int32_t num_cores;
    int32_t num_pus; /* that this process may run on */
    int32_t num_nics;
    epx_host_nic nics[EPX_HOST_MAX_NICS];
} epx_host;

/* Reads the live machine, 50 ms at most in practice. What the system does not tell is unknown,
 * never 0. */
EPX_NODISCARD epx_status epx_host_probe(epx_host *host_out);

#endif /* EPX_COMM_TOPO_HOST_H */
