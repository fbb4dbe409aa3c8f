/* settings.c - the options of each operation, their defaults and what does not fit together. */
#include "bench/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/launch.h"
#include "common/options.h"

/* Which operations an option belongs to. */
enum {
    FOR_ALLTOALL = 1u << OP_ALLTOALL,
    FOR_DISPATCH = 1u << OP_DISPATCH,
    FOR_LAYER = 1u << OP_LAYER,
    FOR_LINK = 1u << OP_LINK,
    FOR_TOKENS = FOR_DISPATCH | FOR_LAYER,
    FOR_SIZES = FOR_ALLTOALL | FOR_LINK,
    FOR_ALL = FOR_TOKENS | FOR_SIZES
};

static const struct {
    const char *name, *what;
} ops[OP_COUNT] = {[OP_ALLTOALL] = {"alltoall", "every rank sends every rank a block"},
                   [OP_DISPATCH] = {"dispatch", "tokens to their experts, and back combined"},
                   [OP_LAYER] = {"layer", "gate, dispatch, experts and combine"},
                   [OP_LINK] = {"link", "two ranks exchange a block: inside a node, and across"}};

static const char *const type_names[] = {"bf16", "f32", NULL};
static const epx_type types[] = {EPX_TYPE_BF16, EPX_TYPE_F32};
static const char *const plan_names[] = {"auto", "flat", "intra-first", "inter-first", "all", NULL};
static const char *const peer_names[] = {"mpi", NULL};

/* Text that needs a second look, and choices. */
typedef struct raw {
    size_t type, plan, peer;
    const char *preset, *compute;
    bool topk, experts, hidden, ffn, begin, end; /* given */
} raw;

/* ---- The table ------------------------------------------------------------------------------- */

#define MAX_SPECS 32

typedef struct table {
    option_spec specs[MAX_SPECS];
    size_t count;
    uint32_t op; /* bit */
} table;

static void add(table *t, uint32_t ops_mask, option_spec spec)
{
    if (ops_mask & t->op)
        t->specs[t->count++] = spec;
}

#define NUMBER(name, letter, field, low, high, help, flag)                                         \
    ((option_spec){name, letter, OPTION_NUMBER, field, "N", help, low, high, NULL, flag})
#define SIZE(name, letter, field, low, high, help, flag)                                           \
    ((option_spec){name, letter, OPTION_SIZE, field, "SIZE", help, low, high, NULL, flag})
#define CHOICE(name, letter, field, names, meta, help)                                             \
    ((option_spec){name, letter, OPTION_CHOICE, field, meta, help, 0, 0, names, NULL})
#define TEXT(name, letter, field, meta, help)                                                      \
    ((option_spec){name, letter, OPTION_TEXT, field, meta, help, 0, 0, NULL, NULL})
#define FLAG(name, letter, field, help)                                                            \
    ((option_spec){name, letter, OPTION_FLAG, field, NULL, help, 0, 0, NULL, NULL})

static void add_shape(table *t, bench_settings *s, raw *r)
{
    add(t, FOR_ALL,
        NUMBER("ranks", 'n', &s->ranks, 1, LAUNCH_MAX_RANKS,
               "ranks to fork here (4); without it, a launcher's", &s->ranks_given));
    add(t, FOR_ALL,
        NUMBER("nodes", 0, &s->nodes, 1, LAUNCH_MAX_RANKS, "emulated nodes to spread them over (2)",
               &s->nodes_given));
    add(t, FOR_TOKENS,
        NUMBER("tokens", 't', &s->tokens, 0, 1u << 24, "tokens per rank (128)", NULL));
    add(t, FOR_TOKENS,
        NUMBER("topk", 'k', &s->topk, 1, EPX_MAX_TOPK, "experts per token (8)", &r->topk));
    add(t, FOR_TOKENS,
        NUMBER("experts", 'E', &s->experts, 1, EPX_MAX_EXPERTS, "experts (64)", &r->experts));
    add(t, FOR_TOKENS,
        NUMBER("hidden", 'H', &s->hidden, 1, EPX_MAX_ROW_BYTES / 2,
               "elements of a token (4096; layer 1024)", &r->hidden));
    add(t, FOR_LAYER,
        NUMBER("ffn", 'F', &s->ffn, 1, 1u << 20, "width of an expert (512)", &r->ffn));
    add(t, FOR_TOKENS, CHOICE("dtype", 'd', &r->type, type_names, "TYPE", "bf16 or f32 (bf16)"));
    add(t, FOR_TOKENS,
        TEXT("routing", 0, &s->routing_name, "SPEC",
             "uniform, zipf:S, groups:M/G, twohot:SHARE, drift:mild|strong|regime, file:PATH, "
             "text:PATH (uniform)"));
    add(t, FOR_TOKENS, TEXT("preset", 0, &r->preset, "NAME", "the shape of a published model"));
    add(t, FOR_TOKENS,
        CHOICE("plan", 0, &r->plan, plan_names, "PLAN",
               "auto, flat, intra-first, inter-first, or all three (auto)"));
    add(t, FOR_LAYER,
        TEXT("compute", 0, &r->compute, "HOW",
             "real, or model:US_PER_ROW, a timed wait in place of arithmetic (real)"));
}

static void add_run(table *t, bench_settings *s, raw *r)
{
    add(t, FOR_SIZES,
        SIZE("begin", 'b', &s->begin, 0, UINT64_C(1) << 32, "smallest block (1K)", &r->begin));
    add(t, FOR_SIZES,
        SIZE("end", 'e', &s->end, 0, UINT64_C(1) << 32, "largest block (1M)", &r->end));
    add(t, FOR_SIZES,
        NUMBER("factor", 'f', &s->factor, 2, 1024, "from one block size to the next (4)", NULL));
    add(t, FOR_ALL,
        NUMBER("iterations", 'i', &s->iterations, 1, 1000000, "timed repeats (20)", NULL));
    add(t, FOR_ALL, NUMBER("warmup", 'w', &s->warmup, 0, 1000000, "repeats before them (3)", NULL));
    add(t, FOR_ALL, NUMBER("seed", 0, &s->seed, 0, UINT64_MAX, "of all data (1)", NULL));
    add(t, FOR_ALL, FLAG("no-check", 0, &s->no_check, "do not compare with the oracle"));
    add(t, FOR_LAYER, FLAG("phases", 0, &s->phases, "also the time of each phase"));
    add(t, FOR_ALLTOALL | FOR_DISPATCH,
        CHOICE("vs", 0, &r->peer, peer_names, "PEER",
               "mpi: the same by MPI_Alltoallv in the same run, under mpirun"));
    add(t, FOR_ALL, TEXT("json", 'J', &s->json, "FILE", "results as JSON, - for stdout"));
}

/* ---- The operation --------------------------------------------------------------------------- */

static void overview(const char *program, FILE *out)
{
    int i;

    fprintf(out, "Usage: %s OP [options]\n\n", program);
    for (i = 0; i < OP_COUNT; i++)
        fprintf(out, "  %-10s %s\n", ops[i].name, ops[i].what);
    fprintf(out,
            "\n%s OP --help lists the options of an operation.\n\n"
            "Without a launcher, ranks are forked here, on emulated nodes between which only tcp\n"
            "is used. Exit status: 0 fine, 1 wrong results, 2 usage, 3 environment or unreadable\n"
            "input, 4 the job broke.\n",
            program);
}

/* -1 with s->op, or the exit status. */
static int read_op(bench_settings *s, int argc, char **argv)
{
    int i;

    if (argc < 2) {
        overview(s->program, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        overview(s->program, stdout);
        return EXIT_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("%s %s\n", s->program, EPX_VERSION_TEXT);
        return EXIT_OK;
    }
    for (i = 0; i < OP_COUNT; i++) {
        if (strcmp(argv[1], ops[i].name) != 0)
            continue;
        s->op = (bench_op)i;
        s->op_name = ops[i].name;
        return -1;
    }
    fprintf(stderr,
            "%s: '%s' is no operation: alltoall, dispatch, layer or link\ntry '%s --help'\n",
            s->program, argv[1], s->program);
    return EXIT_USAGE;
}

/* ---- What options mean together -------------------------------------------------------------- */

static int use_preset(bench_settings *s, const raw *r, const option_page *page)
{
    char names[512] = "";
    const epx_moe_preset *preset;
    size_t i, used = 0;

    if (r->preset == NULL)
        return -1;
    s->preset = epx_moe_preset_find(r->preset);
    if (s->preset == NULL) {
        for (i = 0; (preset = epx_moe_preset_at(i)) != NULL && used < sizeof(names); i++)
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", i ? ", " : "",
                                     preset->name);
        return options_wrong(page, "option --preset: '%s' is none of %s", r->preset, names);
    }
    if (!r->topk)
        s->topk = s->preset->topk;
    if (!r->experts)
        s->experts = (uint64_t)s->preset->num_experts;
    if (!r->hidden)
        s->hidden = s->preset->hidden;
    if (!r->ffn)
        s->ffn = s->preset->ffn;
    return -1;
}

static int use_compute(bench_settings *s, const raw *r, const option_page *page)
{
    char *end;

    if (r->compute == NULL || strcmp(r->compute, "real") == 0)
        return -1;
    if (strncmp(r->compute, "model:", 6) == 0 && r->compute[6] != '\0') {
        s->model_us = strtod(r->compute + 6, &end);
        if (*end == '\0' && s->model_us > 0 && s->model_us <= 1e6)
            return -1;
    }
    return options_wrong(page, "option --compute: '%s' is neither real nor model:US_PER_ROW",
                         r->compute);
}

static void use_choices(bench_settings *s, const raw *r)
{
    static const epx_plan plans[] = {EPX_PLAN_AUTO, EPX_PLAN_FLAT, EPX_PLAN_INTRA_FIRST,
                                     EPX_PLAN_INTER_FIRST};
    size_t i;

    s->type = types[r->type];
    s->type_name = type_names[r->type];
    s->vs_mpi = r->peer == 0;
    s->num_plans = r->plan < 4 ? 1 : 3;
    for (i = 0; i < s->num_plans; i++)
        s->plans[i] = plans[r->plan < 4 ? r->plan : i + 1];
}

static int check_ranks(const bench_settings *s, const option_page *page)
{
    const char *launcher = launch_environment();

    if (s->nodes_given && !s->ranks_given && launcher != NULL)
        return options_wrong(page, "option --nodes goes with -n; these ranks are %s's", launcher);
    if (s->nodes > s->ranks)
        return options_wrong(page, "option --nodes: %llu nodes for %llu ranks",
                             (unsigned long long)s->nodes, (unsigned long long)s->ranks);
    return -1;
}

static int check_sizes(bench_settings *s, const raw *r, const option_page *page)
{
    if (!r->end && r->begin && s->begin > s->end)
        s->end = s->begin;
    if (!r->begin && r->end && s->begin > s->end)
        s->begin = s->end;
    if (s->begin > s->end)
        return options_wrong(page, "option --begin: %llu is more than --end, %llu",
                             (unsigned long long)s->begin, (unsigned long long)s->end);
    return -1;
}

/* Opens the routing, which may read a file: an error is told once, before ranks are started. */
static int check_tokens(bench_settings *s, const option_page *page)
{
    char error[512];
    int status;

    if (s->hidden * epx_type_size(s->type) > EPX_MAX_ROW_BYTES)
        return options_wrong(page, "option --hidden: %llu %s elements are more than %d bytes",
                             (unsigned long long)s->hidden, s->type_name, EPX_MAX_ROW_BYTES);
    if (s->op == OP_LAYER && s->hidden < s->experts)
        return options_wrong(page, "option --hidden: %llu is less than --experts, %llu",
                             (unsigned long long)s->hidden, (unsigned long long)s->experts);
    status = routing_open(s->routing_name, (int32_t)s->experts, (uint32_t)s->topk, s->seed,
                          &s->routing, error, sizeof(error));
    if (status == EXIT_USAGE)
        return options_wrong(page, "option --routing: %s", error);
    if (status != EXIT_OK) {
        fprintf(stderr, "%s: %s\n", page->program, error);
        return status;
    }
    return -1;
}

static int make_sense(bench_settings *s, const raw *r, const option_page *page)
{
    int status;

    use_choices(s, r);
    status = check_ranks(s, page);
    if (status < 0)
        status = check_sizes(s, r, page);
    if (status < 0)
        status = use_preset(s, r, page);
    if (status < 0)
        status = use_compute(s, r, page);
    if (status < 0 && (FOR_TOKENS & (1u << s->op)))
        status = check_tokens(s, page);
    return status;
}

static void set_defaults(bench_settings *s)
{
    s->ranks = 4;
    s->nodes = 2;
    s->tokens = 128;
    s->topk = 8;
    s->experts = 64;
    s->hidden = s->op == OP_LAYER ? 1024 : 4096;
    s->ffn = 512;
    s->iterations = 20;
    s->warmup = 3;
    s->seed = 1;
    s->begin = 1024;
    s->end = 1024 * 1024;
    s->factor = 4;
    s->routing_name = "uniform";
}

int settings_parse(bench_settings *s, const char *program, int argc, char **argv)
{
    char title[64], usage[160];
    table t = {.count = 0};
    raw r = {.peer = SIZE_MAX};
    option_page page = {.program = title, .version = EPX_VERSION_TEXT, .usage = usage};
    const char *word;
    size_t words;
    int status;

    *s = (bench_settings){.program = program};
    status = read_op(s, argc, argv);
    if (status >= 0)
        return status;
    set_defaults(s);
    t.op = 1u << s->op;
    add_shape(&t, s, &r);
    add_run(&t, s, &r);
    snprintf(title, sizeof(title), "%s %s", program, s->op_name);
    snprintf(usage, sizeof(usage), "Usage: %s [options]\n%s", title, ops[s->op].what);
    page.specs = t.specs;
    page.count = t.count;
    status = options_parse(&page, argc - 1, argv + 1, &word, 0, &words);
    if (status >= 0)
        return status;
    if (!s->nodes_given && s->nodes > s->ranks)
        s->nodes = s->ranks;
    return make_sense(s, &r, &page);
}

void settings_close(bench_settings *s)
{
    routing_close(s->routing);
    s->routing = NULL;
}
