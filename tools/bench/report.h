/* report.h - results as they come in: a line of the table each, and JSON at the end.
 *
 * Only rank 0 writes. Unknown numbers are NaN: "-" in the table, null in JSON. */
#ifndef TOOLS_BENCH_REPORT_H
#define TOOLS_BENCH_REPORT_H

#include <stdio.h>

#include <epx/comm.h>

#include "bench/settings.h"
#include "common/stats.h"

typedef struct bench_result {
    const char *plan;                                    /* as asked for; NULL: none */
    const char *plan_used;                               /* what AUTO chose */
    const char *link;                                    /* what carries data between nodes */
    int32_t peer_rank;                                   /* link: the other end, -1: none */
    stats dispatch, combine, layer, alltoall, link_time; /* us of the slowest rank; count 0: none */
    stats total;                                         /* dispatch + combine, or the operation */
    double bytes;                                        /* block from one rank to another */
    double net_bytes, combine_net_bytes;                 /* of one operation, over all ranks */
    double net_bytes_min, combine_net_bytes_min;
    double wire_bytes; /* of dispatch + combine, by the interfaces of the nodes */
    double staging_bytes;
    double algbw, busbw; /* GB/s */
    double imbalance;
    double wrong; /* elements */
    double max_rel_err, limit;
    double phase_us[4]; /* layer: gate, dispatch, compute, combine */
    const char *peer;   /* what was run beside, NULL: nothing */
    stats peer_time;
    double ratio, ratio_low, ratio_high; /* peer time / ours */
} bench_result;

/* All unknown. */
bench_result bench_result_none(void);

typedef struct report {
    const bench_settings *set; /* borrows */
    FILE *table;               /* NULL: this rank is silent */
    FILE *json_file;           /* NULL: no JSON */
    int32_t ranks, nodes;
    bench_result *results; /* owns */
    size_t count, capacity;
    double wrong; /* over all results, on every rank; NaN counts as nothing */
} report;

/* Opens the JSON file. False, with errno, when that fails; on a silent rank never. */
bool report_open(report *r, const bench_settings *set, const epx_comm *comm);
void report_add(report *r, const bench_result *result);
/* Footer and JSON. False, with errno, when something could not be written. */
bool report_close(report *r);

/* report_table.c */
void report_header(const report *r, const epx_comm *comm);
void report_line(const report *r, const bench_result *result);
void report_footer(const report *r);
/* report_json.c */
void report_json(const report *r, FILE *out);

/* "ucx": what carries data between nodes, else inside the node, else "self". */
const char *report_link(const epx_comm *comm);

#endif /* TOOLS_BENCH_REPORT_H */
