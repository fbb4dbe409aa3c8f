/* test_routing.c - routings are what their names say, and the same for whoever computes them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/routing.h"
#include "common/text.h"

#define TOKENS 4000u

static char error[256];

static routing *open_routing(const char *spec, int32_t experts, uint32_t topk)
{
    routing *r = NULL;

    assert_int_equal(routing_open(spec, experts, topk, 7, &r, error, sizeof(error)), 0);
    return r;
}

static void draws_are_distinct_and_weights_sum_to_one(void **state)
{
    static const char *const specs[] = {"uniform",    "zipf:1.2",   "zipf:8",      "groups:2/4",
                                        "twohot:0.5", "drift:mild", "drift:regime"};
    int32_t ids[200 * 8];
    float weights[200 * 8];
    size_t s, t, j, i;

    (void)state;
    for (s = 0; s < sizeof(specs) / sizeof(specs[0]); s++) {
        routing *r = open_routing(specs[s], 32, 8);

        routing_fill(r, 3, 1, 200, ids, weights);
        for (t = 0; t < 200; t++) {
            double sum = 0;

            for (j = 0; j < 8; j++) {
                assert_in_range(ids[t * 8 + j], 0, 31);
                assert_true(weights[t * 8 + j] > 0);
                sum += (double)weights[t * 8 + j];
                for (i = 0; i < j; i++)
                    assert_int_not_equal(ids[t * 8 + i], ids[t * 8 + j]);
            }
            assert_true(fabs(sum - 1) < 1e-5);
        }
        routing_close(r);
    }
}

static void equal_seeds_give_equal_tokens_in_any_order(void **state)
{
    int32_t a[100 * 4], b[100 * 4], c[100 * 4];
    float wa[100 * 4], wb[100 * 4];
    routing *one = open_routing("drift:strong", 16, 4), *two = open_routing("drift:strong", 16, 4);

    (void)state;
    routing_fill(one, 9, 2, 100, a, wa);
    routing_fill(two, 0, 0, 100, b, wb);
    routing_fill(two, 40, 1, 100, b, wb);
    routing_fill(two, 9, 2, 100, b, wb); /* back again */
    assert_memory_equal(a, b, sizeof(a));
    assert_memory_equal(wa, wb, sizeof(wa));
    routing_fill(one, 10, 2, 100, c, NULL);
    assert_memory_not_equal(a, c, sizeof(a));
    assert_true(routing_drifts(one));
    routing_close(one);
    routing_close(two);
}

static void count_experts(const char *spec, int32_t experts, uint32_t topk, uint64_t *counts)
{
    int32_t *ids = calloc((size_t)TOKENS * topk, sizeof(*ids));
    routing *r = open_routing(spec, experts, topk);
    size_t i;

    memset(counts, 0, (size_t)experts * sizeof(*counts));
    routing_fill(r, 0, 0, TOKENS, ids, NULL);
    for (i = 0; i < (size_t)TOKENS * topk; i++)
        counts[ids[i]]++;
    routing_close(r);
    free(ids);
}

static int descending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x < y) - (x > y);
}

static void shares_are_what_the_name_promises(void **state)
{
    uint64_t counts[8];
    double sum = 0, n;
    int i;

    (void)state;
    count_experts("uniform", 8, 2, counts);
    for (i = 0; i < 8; i++)
        assert_in_range(counts[i], TOKENS / 4 * 9 / 10, TOKENS / 4 * 11 / 10);

    count_experts("zipf:1", 8, 1, counts);
    qsort(counts, 8, sizeof(counts[0]), descending);
    for (i = 1; i <= 8; i++)
        sum += 1.0 / i;
    for (i = 0; i < 8; i++) {
        n = TOKENS / sum / (i + 1);
        assert_true(fabs((double)counts[i] - n) < 5 * sqrt(n));
    }

    count_experts("twohot:0.6", 8, 1, counts);
    qsort(counts, 8, sizeof(counts[0]), descending);
    assert_true(fabs((double)(counts[0] + counts[1]) - 0.6 * TOKENS) < 5 * sqrt(0.24 * TOKENS));
    assert_true(counts[2] < TOKENS / 10);
}

static void groups_limit_how_many_a_token_touches(void **state)
{
    routing *r = open_routing("groups:2/8", 32, 6);
    int32_t ids[100 * 6];
    size_t t, j;

    (void)state;
    routing_fill(r, 0, 0, 100, ids, NULL);
    for (t = 0; t < 100; t++) {
        unsigned groups = 0;

        for (j = 0; j < 6; j++)
            groups |= 1u << (ids[t * 6 + j] / 4);
        assert_int_equal(__builtin_popcount(groups), 2);
    }
    routing_close(r);
}

static void wrong_names_are_refused_with_a_sentence(void **state)
{
    static const char *const wrong[] = {
        "",         "unifor",     "uniform:1",  "zipf",       "zipf:",      "zipf:x",
        "zipf:-1",  "zipf:nan",   "zipf:1e3",   "groups:3/2", "groups:0/2", "groups:1/16",
        "groups:2", "twohot:1.5", "drift:wild", "drift",      "groups:1/1x"};
    routing *r = NULL;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        error[0] = '\0';
        assert_int_equal(routing_open(wrong[i], 8, 4, 1, &r, error, sizeof(error)), 2);
        assert_non_null(strstr(error, wrong[i]));
    }
    assert_int_equal(routing_open("uniform", 4, 8, 1, &r, error, sizeof(error)), 2);
    assert_int_equal(routing_open("uniform", 5000, 8, 1, &r, error, sizeof(error)), 2);
    assert_int_equal(routing_open("text:/no/such/file", 8, 2, 1, &r, error, sizeof(error)), 3);
    assert_non_null(strstr(error, "/no/such/file"));
    assert_null(r);
}

/* A file with the content; its name in path. */
static void write_file(const char *content, char path[32])
{
    int fd;

    strcpy(path, "/tmp/epx_routing_XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), strlen(content));
    close(fd);
}

static void a_file_gives_its_lines_in_turn(void **state)
{
    static const int32_t want[] = {1, 2, 3, -1, -1, -1, 0, 7, 7, 1, 2, 3, -1, -1, -1};
    char path[32], spec[64];
    int32_t ids[15];
    routing *r;

    (void)state;
    write_file("# ids\n1 2,3\n\n-1\n 0;7\t7 # twice\n", path);
    snprintf(spec, sizeof(spec), "file:%s", path);
    r = open_routing(spec, 8, 3);
    routing_fill(r, 0, 0, 5, ids, NULL);
    assert_memory_equal(ids, want, sizeof(want));
    routing_fill(r, 0, 1, 1, ids, NULL); /* rank 1 goes on where rank 0 ends */
    assert_memory_equal(ids, want + 3, 3 * sizeof(want[0]));
    routing_close(r);
    unlink(path);
}

static void a_bad_file_is_refused_by_line(void **state)
{
    static const struct {
        const char *content, *line;
    } bad[] = {{"1 2\n3 8\n", "line 2"}, {"1 x\n", "line 1"},      {"-2\n", "line 1"},
               {"1 2 3 4\n", "line 1"},  {"# none\n", "no token"}, {"", "no token"}};
    char path[32], spec[64];
    routing *r = NULL;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_file(bad[i].content, path);
        snprintf(spec, sizeof(spec), "file:%s", path);
        assert_int_equal(routing_open(spec, 8, 3, 1, &r, error, sizeof(error)), 3);
        assert_non_null(strstr(error, bad[i].line));
        unlink(path);
    }
    assert_null(r);
}

static void a_text_is_cut_into_words_and_marks(void **state)
{
    static const char words[] = "The cat's 3rd \"caf\xc3\xa9\", the END.\n";
    tool_text t;

    (void)state;
    assert_true(text_cut(words, strlen(words), &t));
    assert_int_equal(t.num_tokens, 10); /* the cat's 3rd " cafe " , the end . */
    assert_int_equal(t.num_words, 8);
    assert_true(t.hash[0] == t.hash[7] && t.hash[3] == t.hash[5]);
    text_close(&t);
    assert_false(text_cut(" \n\t", 3, &t));
}

static void a_text_routes_equal_words_in_equal_context_equally(void **state)
{
    char path[32], spec[64];
    int32_t ids[6 * 2];
    float weights[6 * 2];
    routing *r;

    (void)state;
    write_file("a b c a b d", path);
    snprintf(spec, sizeof(spec), "text:%s", path);
    r = open_routing(spec, 64, 2);
    routing_fill(r, 0, 0, 6, ids, weights);
    assert_memory_equal(ids + 2, ids + 8, 2 * sizeof(ids[0])); /* b after a */
    assert_memory_not_equal(ids + 4, ids + 10, 2 * sizeof(ids[0]));
    assert_true(weights[0] >= weights[1]); /* best first */
    routing_close(r);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_distinct_and_weights_sum_to_one),
        cmocka_unit_test(equal_seeds_give_equal_tokens_in_any_order),
        cmocka_unit_test(shares_are_what_the_name_promises),
        cmocka_unit_test(groups_limit_how_many_a_token_touches),
        cmocka_unit_test(wrong_names_are_refused_with_a_sentence),
        cmocka_unit_test(a_file_gives_its_lines_in_turn),
        cmocka_unit_test(a_bad_file_is_refused_by_line),
        cmocka_unit_test(a_text_is_cut_into_words_and_marks),
        cmocka_unit_test(a_text_routes_equal_words_in_equal_context_equally),
    };

    return cmocka_run_group_tests_name("routing", tests, NULL, NULL);
}
