/* settings.h - what the command line of epx-bench asks for, checked. Immutable after parsing. */
#ifndef TOOLS_BENCH_SETTINGS_H
#define TOOLS_BENCH_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <epx/moe.h>

#include "common/routing.h"

typedef enum bench_op { OP_ALLTOALL, OP_DISPATCH, OP_LAYER, OP_LINK, OP_COUNT } bench_op;

#define SETTINGS_MAX_PLANS 3

typedef struct bench_settings {
    const char *program; /* "epx-bench" */
    bench_op op;
    const char *op_name;
    uint64_t ranks, nodes; /* to fork */
    bool ranks_given, nodes_given;
    uint64_t tokens, topk, experts, hidden, ffn;
    uint64_t iterations, warmup, seed;
    uint64_t begin, end, factor; /* sizes, in bytes */
    epx_type type;
    const char *type_name;
    const char *routing_name;
    routing *routing; /* owns; NULL for operations without */
    const epx_moe_preset *preset;
    epx_plan plans[SETTINGS_MAX_PLANS];
    size_t num_plans;
    double model_us; /* 0: real arithmetic */
    bool no_check, phases, vs_mpi;
    const char *json; /* path, "-", or NULL */
} bench_settings;

/* -1: go on; else the exit status. */
int settings_parse(bench_settings *s, const char *program, int argc, char **argv);
void settings_close(bench_settings *s);

#endif /* TOOLS_BENCH_SETTINGS_H */
