/* sample.c - from times of this rank to statistics of the slowest rank, and to ratios. */
#include <stdlib.h>

#include "bench/bench.h"
#include "common/alloc.h"
#include "common/gather.h"

epx_status sample_close(bench *b, double *us, size_t count, stats *stats_out)
{
    epx_status st = gather_max(b->comm, us, count);

    if (st == EPX_OK)
        *stats_out = stats_of(us, count);
    return st;
}

void sample_compare(const bench *b, bench_result *result, const double *us, const double *peer_us,
                    size_t count)
{
    double *ratios;

    result->total = stats_of(us, count);
    if (peer_us == NULL)
        return;
    ratios = tool_alloc("ratios", count, sizeof(*ratios));
    stats_ratios(peer_us, us, count, ratios);
    result->peer = b->peer->name;
    result->peer_time = stats_of(peer_us, count);
    result->ratio = stats_median(ratios, count);
    stats_interval(ratios, count, b->set->seed, &result->ratio_low, &result->ratio_high);
    free(ratios);
}
