/* report_table.c - the table: comment lines start with #, then a line per result. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "bench/report.h"

/* ---- Cells ----------------------------------------------------------------------------------- */

static void cell(FILE *out, int width, int digits, double value)
{
    if (isfinite(value))
        fprintf(out, " %*.*f", width, digits, value);
    else
        fprintf(out, " %*s", width, "-");
}

/* Microseconds: four digits that matter. */
static void cell_us(FILE *out, double us)
{
    cell(out, 9, us < 100 ? 2 : us < 1000 ? 1 : 0, us);
}

static void cell_stats(FILE *out, const stats *s)
{
    cell_us(out, s->count > 0 ? s->median : NAN);
}

static void peer_cells(FILE *out, const bench_result *result)
{
    if (result->peer == NULL)
        return;
    cell_stats(out, &result->peer_time);
    cell(out, 6, 2, result->ratio);
    fprintf(out, " [%.2f, %.2f]", result->ratio_low, result->ratio_high);
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static const char *const columns[OP_COUNT] = {
    [OP_ALLTOALL] = "#      bytes   time_us    p99_us   algbw   busbw   #wrong  link",
    [OP_DISPATCH] =
        "#       plan  tokens  k    E  hidden dtype  routing    |   disp_us   comb_us    "
        "p99_us   cv%   algbw   busbw   net_GB  /min    imb   #wrong  link",
    [OP_LAYER] =
        "#       plan  tokens  k    E  hidden    ffn dtype  routing    |  layer_us    p99_us  "
        " cv%    imb   #wrong   rel_err  link",
    [OP_LINK] = "#      bytes  from   to   time_us    p99_us    GB/s   #wrong  link"};

static void shape_cells(const report *r, const bench_result *result)
{
    const bench_settings *s = r->set;
    const char *name = strcmp(result->plan, "auto") == 0 ? result->plan_used : result->plan;

    fprintf(r->table, "%12s  %6llu %2llu %4llu  %6llu", name, (unsigned long long)s->tokens,
            (unsigned long long)s->topk, (unsigned long long)s->experts,
            (unsigned long long)s->hidden);
    if (s->op == OP_LAYER)
        fprintf(r->table, " %6llu", (unsigned long long)s->ffn);
    fprintf(r->table, " %5s  %-10s |", s->type_name, s->routing_name);
}

static void dispatch_line(const report *r, const bench_result *result)
{
    double sent = result->net_bytes + result->combine_net_bytes;
    double least = result->net_bytes_min + result->combine_net_bytes_min;
    FILE *out = r->table;

    shape_cells(r, result);
    cell_stats(out, &result->dispatch);
    cell_stats(out, &result->combine);
    cell_us(out, result->total.p99);
    cell(out, 5, 1, 100 * result->total.cv);
    cell(out, 7, 3, result->algbw);
    cell(out, 7, 3, result->busbw);
    cell(out, 8, 5, sent * 1e-9);
    cell(out, 5, 2, sent / least);
    cell(out, 6, 2, result->imbalance);
    cell(out, 8, 0, result->wrong);
    fprintf(out, "  %s", result->link);
}

static void layer_line(const report *r, const bench_result *result)
{
    static const char *const names[] = {"gate", "dispatch", "compute", "combine"};
    FILE *out = r->table;
    int i;

    shape_cells(r, result);
    cell_stats(out, &result->layer);
    cell_us(out, result->total.p99);
    cell(out, 5, 1, 100 * result->total.cv);
    cell(out, 6, 2, result->imbalance);
    cell(out, 8, 0, result->wrong);
    if (isfinite(result->max_rel_err))
        fprintf(out, "  %8.1e", result->max_rel_err);
    else
        fprintf(out, "  %8s", "-");
    fprintf(out, "  %s", result->link);
    if (!r->set->phases)
        return;
    fprintf(out, "\n#");
    for (i = 0; i < 4; i++)
        fprintf(out, "  %s %.0f us", names[i], result->phase_us[i]);
}

static void size_line(const report *r, const bench_result *result)
{
    FILE *out = r->table;

    fprintf(out, "%12.0f", result->bytes);
    if (r->set->op == OP_LINK)
        fprintf(out, "  %4d %4d", 0, result->peer_rank);
    cell_us(out, result->total.median);
    cell_us(out, result->total.p99);
    cell(out, 7, 3, result->algbw);
    if (r->set->op == OP_ALLTOALL)
        cell(out, 7, 3, result->busbw);
    cell(out, 8, 0, result->wrong);
    fprintf(out, "  %s", result->link);
}

void report_line(const report *r, const bench_result *result)
{
    switch (r->set->op) {
    case OP_DISPATCH:
        dispatch_line(r, result);
        break;
    case OP_LAYER:
        layer_line(r, result);
        break;
    default:
        size_line(r, result);
        break;
    }
    peer_cells(r->table, result);
    fputc('\n', r->table);
}

/* ---- Around them ----------------------------------------------------------------------------- */

void report_header(const report *r, const epx_comm *comm)
{
    const bench_settings *s = r->set;
    FILE *out = r->table;

    fprintf(out, "# %s %s: %s\n", s->program, EPX_VERSION_TEXT, s->op_name);
    fprintf(out, "# %d ranks on %d nodes, %s %s\n", r->ranks, r->nodes,
            r->nodes > 1 ? "between nodes" : "inside", report_link(comm));
    if (s->preset != NULL)
        fprintf(out, "# preset %s\n", s->preset->name);
    if (s->model_us > 0)
        fprintf(out, "# experts wait %g us a row in place of computing\n", s->model_us);
    fprintf(out, "# %llu iterations after %llu, seed %llu; medians of the slowest rank\n",
            (unsigned long long)s->iterations, (unsigned long long)s->warmup,
            (unsigned long long)s->seed);
    fprintf(out, "%s%s\n", columns[s->op], s->vs_mpi ? "   peer_us  ratio [95 %]" : "");
}

void report_footer(const report *r)
{
    const char *peer = r->results[0].peer;
    double wrong = 0;
    size_t i;

    for (i = 0; i < r->count; i++)
        wrong += r->results[i].wrong;
    if (peer != NULL)
        fprintf(r->table, "# peer: %s; ratio: its time / ours, median of interleaved pairs\n",
                peer);
    if (isfinite(wrong))
        fprintf(r->table, "# wrong values: %.0f %s\n", wrong, wrong > 0 ? "FAILED" : "OK");
    else
        fprintf(r->table, "# wrong values: not checked\n");
}
