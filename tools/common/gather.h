/* gather.h - results of all ranks as one number, or one series, equal on every rank. Collective. */
#ifndef TOOLS_COMMON_GATHER_H
#define TOOLS_COMMON_GATHER_H

#include <stddef.h>
#include <stdint.h>

#include <epx/comm.h>

epx_status gather_sum(epx_comm *comm, uint64_t mine, uint64_t *sum_out);
/* values[i] becomes the largest of all ranks' values[i]: times of the slowest rank. */
epx_status gather_max(epx_comm *comm, double *values, size_t count);

#endif /* TOOLS_COMMON_GATHER_H */
