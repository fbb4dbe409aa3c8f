/* report_json.c - epx.bench/1: every key in every result, null where it does not apply. */
#include <math.h>

#include "bench/report.h"
#include "common/json.h"

static void put_stats(json *j, const char *key, const stats *s)
{
    if (s->count == 0) {
        json_put_null(j, key);
        return;
    }
    json_open_object(j, key);
    json_put_number(j, "min", s->min);
    json_put_number(j, "median", s->median);
    json_put_number(j, "p99", s->p99);
    json_close(j);
}

static void put_count(json *j, const char *key, uint64_t value, bool known)
{
    if (known)
        json_put_integer(j, key, value);
    else
        json_put_null(j, key);
}

static void put_shape(json *j, const report *r, const bench_result *result)
{
    const bench_settings *s = r->set;
    bool tokens = s->op == OP_DISPATCH || s->op == OP_LAYER;

    json_put_text(j, "op", s->op_name);
    json_put_text(j, "plan", result->plan);
    json_put_text(j, "plan_used", result->plan_used);
    json_put_integer(j, "ranks", (uint64_t)r->ranks);
    json_put_integer(j, "nodes", (uint64_t)r->nodes);
    json_put_text(j, "link", result->link);
    put_count(j, "peer_rank", (uint64_t)result->peer_rank, result->peer_rank >= 0);
    put_count(j, "tokens", s->tokens, tokens);
    put_count(j, "topk", s->topk, tokens);
    put_count(j, "experts", s->experts, tokens);
    put_count(j, "hidden", s->hidden, tokens);
    put_count(j, "ffn", s->ffn, s->op == OP_LAYER);
    json_put_text(j, "dtype", tokens ? s->type_name : NULL);
    json_put_text(j, "routing", tokens ? s->routing_name : NULL);
    json_put_text(j, "preset", s->preset != NULL ? s->preset->name : NULL);
    json_put_number(j, "model_us_per_row", s->model_us > 0 ? s->model_us : NAN);
    json_put_integer(j, "seed", s->seed);
    json_put_integer(j, "iterations", s->iterations);
}

static void put_phases(json *j, const double us[4])
{
    if (!isfinite(us[0])) {
        json_put_null(j, "phases_us");
        return;
    }
    json_open_object(j, "phases_us");
    json_put_number(j, "gate", us[0]);
    json_put_number(j, "dispatch", us[1]);
    json_put_number(j, "compute", us[2]);
    json_put_number(j, "combine", us[3]);
    json_close(j);
}

static void put_ratio(json *j, const bench_result *result)
{
    json_put_text(j, "peer", result->peer);
    put_stats(j, "peer_us", &result->peer_time);
    json_put_number(j, "ratio", result->ratio);
    if (!isfinite(result->ratio)) {
        json_put_null(j, "ratio_interval");
        return;
    }
    json_open_array(j, "ratio_interval");
    json_put_number(j, NULL, result->ratio_low);
    json_put_number(j, NULL, result->ratio_high);
    json_close(j);
}

static void put_result(json *j, const report *r, const bench_result *result)
{
    json_open_object(j, NULL);
    put_shape(j, r, result);
    put_stats(j, "dispatch_us", &result->dispatch);
    put_stats(j, "combine_us", &result->combine);
    put_stats(j, "layer_us", &result->layer);
    put_stats(j, "alltoall_us", &result->alltoall);
    put_stats(j, "link_us", &result->link_time);
    put_phases(j, result->phase_us);
    json_put_number(j, "bytes", result->bytes);
    json_put_number(j, "net_bytes", result->net_bytes);
    json_put_number(j, "combine_net_bytes", result->combine_net_bytes);
    json_put_number(j, "net_bytes_min", result->net_bytes_min);
    json_put_number(j, "combine_net_bytes_min", result->combine_net_bytes_min);
    json_put_number(j, "wire_bytes", result->wire_bytes);
    json_put_number(j, "algbw_gbytes_s", result->algbw);
    json_put_number(j, "busbw_gbytes_s", result->busbw);
    json_put_number(j, "imbalance", result->imbalance);
    json_put_null(j, "overlap"); /* one run alone does not tell */
    json_put_number(j, "staging_bytes", result->staging_bytes);
    put_ratio(j, result);
    json_put_number(j, "wrong", result->wrong);
    json_put_number(j, "max_rel_err", result->max_rel_err);
    json_put_number(j, "limit", result->limit);
    json_close(j);
}

void report_json(const report *r, FILE *out)
{
    size_t i;
    json j;

    json_init(&j, out);
    json_open_object(&j, NULL);
    json_put_text(&j, "schema", "epx.bench/1");
    json_put_text(&j, "version", EPX_VERSION_TEXT);
    json_open_array(&j, "results");
    for (i = 0; i < r->count; i++)
        put_result(&j, r, &r->results[i]);
    json_close(&j);
    json_close(&j);
}
