/* report.c - keeps the results, and the JSON file that must be writable before work begins. */
#include "bench/report.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/alloc.h"

bench_result bench_result_none(void)
{
    static const stats none = {.count = 0};

    return (bench_result){.peer_rank = -1,
                          .dispatch = none,
                          .combine = none,
                          .layer = none,
                          .alltoall = none,
                          .link_time = none,
                          .total = none,
                          .peer_time = none,
                          .bytes = NAN,
                          .net_bytes = NAN,
                          .combine_net_bytes = NAN,
                          .net_bytes_min = NAN,
                          .combine_net_bytes_min = NAN,
                          .wire_bytes = NAN,
                          .staging_bytes = NAN,
                          .algbw = NAN,
                          .busbw = NAN,
                          .imbalance = NAN,
                          .wrong = NAN,
                          .max_rel_err = NAN,
                          .limit = NAN,
                          .phase_us = {NAN, NAN, NAN, NAN},
                          .ratio = NAN,
                          .ratio_low = NAN,
                          .ratio_high = NAN};
}

const char *report_link(const epx_comm *comm)
{
    int32_t rank, best = 0;

    for (rank = 1; rank < epx_comm_size(comm) && best == 0; rank++)
        if (epx_comm_node_of(comm, rank) != epx_comm_node_of(comm, 0))
            best = rank;
    if (best == 0 && epx_comm_size(comm) > 1)
        best = 1;
    return epx_comm_link_name(comm, 0, best);
}

/* Not truncated yet: a run that fails leaves an old file alone. */
static FILE *open_json(const char *path)
{
    FILE *file;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);

    if (fd < 0)
        return NULL;
    file = fdopen(fd, "w");
    if (file == NULL)
        close(fd);
    return file;
}

bool report_open(report *r, const bench_settings *set, const epx_comm *comm)
{
    *r = (report){.set = set, .ranks = epx_comm_size(comm), .nodes = epx_comm_num_nodes(comm)};
    if (epx_comm_rank(comm) != 0)
        return true;
    r->table = stdout;
    if (set->json == NULL) {
        report_header(r, comm);
        return true;
    }
    if (strcmp(set->json, "-") == 0) {
        r->table = stderr; /* stdout is for one thing only */
        r->json_file = stdout;
    } else {
        r->json_file = open_json(set->json);
        if (r->json_file == NULL)
            return false;
    }
    report_header(r, comm);
    return true;
}

void report_add(report *r, const bench_result *result)
{
    bench_result *more;

    if (result->wrong > 0)
        r->wrong += result->wrong;
    if (result->max_rel_err > result->limit)
        r->wrong += 1;
    if (r->table == NULL)
        return;
    if (r->count == r->capacity) {
        r->capacity = r->capacity == 0 ? 16 : 2 * r->capacity;
        more = tool_alloc("results", r->capacity, sizeof(*more));
        if (r->count > 0)
            memcpy(more, r->results, r->count * sizeof(*more));
        free(r->results);
        r->results = more;
    }
    r->results[r->count++] = *result;
    report_line(r, result);
    fflush(r->table);
}

bool report_close(report *r)
{
    bool good = true;

    if (r->table != NULL && r->count > 0)
        report_footer(r);
    if (r->json_file != NULL) {
        if (r->json_file != stdout && ftruncate(fileno(r->json_file), 0) != 0 && errno != EINVAL)
            good = false;
        if (r->count > 0)
            report_json(r, r->json_file);
        good = fflush(r->json_file) == 0 && !ferror(r->json_file) && good;
        if (r->json_file != stdout)
            good = fclose(r->json_file) == 0 && good;
    }
    free(r->results);
    r->results = NULL;
    r->count = r->capacity = 0;
    r->table = r->json_file = NULL;
    return good;
}
