/* plan.c - names of plans, and which one should be fastest. */
#include "comm/exchange/plan.h"

#include <string.h>

#include "core/fail.h"

/* 10 Gbit/s and 30 us between nodes, 6 GB/s and 2 us inside: what a plain cluster has. */
const epx_plan_model epx_plan_default_model = {
    .far_latency = 30e-6,
    .far_per_byte = 1 / 1.25e9,
    .near_latency = 2e-6,
    .near_per_byte = 1 / 6e9,
};

static const char *const names[EPX_PLAN_INTER_FIRST + 1] = {"auto", "flat", "intra-first",
                                                            "inter-first"};

const char *epx_plan_name(epx_plan plan)
{
    return (unsigned)plan <= EPX_PLAN_INTER_FIRST ? names[plan] : "unknown";
}

epx_status epx_plan_parse(const char *text, epx_plan *plan_out)
{
    unsigned i;

    if (text == NULL || plan_out == NULL)
        return epx_fail(EPX_ERR_INVALID, "epx_plan_parse: NULL argument");
    for (i = 0; i <= EPX_PLAN_INTER_FIRST; i++)
        if (strcmp(text, names[i]) == 0) {
            *plan_out = (epx_plan)i;
            return EPX_OK;
        }
    return epx_fail(EPX_ERR_INVALID,
                    "plan \"%.40s\" is unknown: auto, flat, intra-first or inter-first", text);
}

static double larger(double a, double b)
{
    return a > b ? a : b;
}

double epx_plan_predict(epx_plan plan, const epx_grid *grid, const epx_plan_totals *totals,
                        size_t row_bytes, double chunks, const epx_plan_model *model)
{
    double ranks = grid->num_ranks, nodes = grid->num_nodes, members = ranks / nodes;
    double row = (double)row_bytes / ranks; /* totals become means per rank */
    double far_node = (double)totals->far_node_rows * row;
    double far_rank = (double)totals->far_rank_rows * row;
    double all = (double)totals->rank_rows * row, near = all - far_rank;
    double elsewhere = 1 - 1 / members; /* a relay is the right rank one time in `members` */
    double hop[3] = {0, 0, 0}, longest, sum;

    if (plan == EPX_PLAN_FLAT)
        return model->far_latency * (ranks - members) + model->near_latency * (members - 1) +
               larger(far_rank * model->far_per_byte, near * elsewhere * model->near_per_byte);
    if (plan == EPX_PLAN_INTER_FIRST) {
        hop[1] = model->far_latency * (nodes - 1) + far_node * model->far_per_byte;
        hop[2] = model->near_latency * (members - 1) + all * elsewhere * model->near_per_byte;
    } else {
        hop[0] = model->near_latency * (members - 1) + far_node * elsewhere * model->near_per_byte;
        hop[1] = model->far_latency * (nodes - 1) + far_node * model->far_per_byte;
        hop[2] = (all - far_node) * model->near_per_byte;
    }
    longest = larger(larger(hop[0], hop[1]), hop[2]);
    sum = hop[0] + hop[1] + hop[2];
    return longest + (sum - longest) / larger(chunks, 1) + model->far_latency +
           model->near_latency * (plan == EPX_PLAN_INTRA_FIRST ? 2 : 1);
}

epx_plan epx_plan_choose(const epx_grid *grid, const epx_plan_totals *totals, size_t row_bytes,
                         size_t chunk_bytes, const epx_plan_model *model)
{
    static const epx_plan order[] = {EPX_PLAN_INTER_FIRST, EPX_PLAN_FLAT, EPX_PLAN_INTRA_FIRST};
    double peers = (double)grid->num_ranks * (double)(grid->num_nodes - 1);
    double chunks =
        peers > 0 ? (double)totals->far_node_rows * (double)row_bytes / peers / (double)chunk_bytes
                  : 1;
    epx_plan best = order[0];
    double best_time = 0;
    unsigned i;

    for (i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        double time = epx_plan_predict(order[i], grid, totals, row_bytes, chunks, model);

        if (i == 0 || time < best_time) {
            best = order[i];
            best_time = time;
        }
    }
    return best;
}
