/* gather.c - sums and maxima over epx_comm_allgather(). */
#include "common/gather.h"

#include <stdlib.h>

#include "common/alloc.h"

epx_status gather_sum(epx_comm *comm, uint64_t mine, uint64_t *sum_out)
{
    int32_t size = epx_comm_size(comm), rank;
    uint64_t *all = tool_alloc("gather", (size_t)size, sizeof(*all)), sum = 0;
    epx_status st = epx_comm_allgather(comm, &mine, sizeof(mine), all);

    for (rank = 0; rank < size; rank++)
        sum += all[rank];
    if (st == EPX_OK)
        *sum_out = sum;
    free(all);
    return st;
}

epx_status gather_max(epx_comm *comm, double *values, size_t count)
{
    size_t size = (size_t)epx_comm_size(comm), rank, i;
    double *all = tool_alloc("gather", size * count, sizeof(*all));
    epx_status st = epx_comm_allgather(comm, values, count * sizeof(*all), all);

    for (rank = 0; rank < size && st == EPX_OK; rank++)
        for (i = 0; i < count; i++)
            if (all[rank * count + i] > values[i])
                values[i] = all[rank * count + i];
    free(all);
    return st;
}
