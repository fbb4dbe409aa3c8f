/* test_tool_json.c - what the writer writes is JSON, and the same bytes every time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/json.h"

static char *text;
static size_t bytes;

static void start(json *j)
{
    json_init(j, open_memstream(&text, &bytes));
    assert_non_null(j->out);
}

static void nesting_is_written_as_expected(void **state)
{
    json j;

    (void)state;
    start(&j);
    json_open_object(&j, NULL);
    json_put_text(&j, "schema", "epx.bench/1");
    json_open_array(&j, "results");
    json_put_integer(&j, NULL, UINT64_MAX);
    json_open_object(&j, NULL);
    json_close(&j);
    json_open_array(&j, NULL);
    json_close(&j);
    json_close(&j);
    json_put_bool(&j, "good", true);
    json_put_null(&j, "unknown");
    json_close(&j);
    fclose(j.out);
    assert_string_equal(text, "{\n  \"schema\": \"epx.bench/1\",\n  \"results\": [\n"
                              "    18446744073709551615,\n    {},\n    []\n  ],\n"
                              "  \"good\": true,\n  \"unknown\": null\n}\n");
    free(text);
}

static void numbers_are_short_exact_and_finite(void **state)
{
    static const struct {
        double value;
        const char *want;
    } cases[] = {{0.0, "0\n"},
                 {0.1, "0.1\n"},
                 {-2.5, "-2.5\n"},
                 {1e300, "1e+300\n"},
                 {1.0 / 3, "0.3333333333333333\n"},
                 {NAN, "null\n"},
                 {INFINITY, "null\n"},
                 {123456.0, "123456\n"}};
    size_t i;
    json j;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(&j);
        json_put_number(&j, NULL, cases[i].value);
        fputc('\n', j.out);
        fclose(j.out);
        assert_string_equal(text, cases[i].want);
        free(text);
    }
}

static void any_bytes_become_valid_text(void **state)
{
    static const struct {
        const char *value, *want;
    } cases[] = {{"q\" b\\ n\n\x01\x7f", "\"q\\\" b\\\\ n\\u000a\\u0001\\u007f\""},
                 {"caf\xc3\xa9 \xf0\x9f\x98\x80", "\"caf\xc3\xa9 \xf0\x9f\x98\x80\""},
                 {"\xff", "\"\\ufffd\""},                         /* no lead byte */
                 {"\xc3(", "\"\\ufffd(\""},                       /* cut short */
                 {"\xc0\xaf", "\"\\ufffd\\ufffd\""},              /* overlong */
                 {"\xed\xa0\x80x", "\"\\ufffd\\ufffd\\ufffdx\""}, /* a surrogate */
                 {"\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""},
                 {"\xe2\x82", "\"\\ufffd\\ufffd\""}, /* ends in the middle */
                 {"", "\"\""}};
    size_t i;
    json j;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(&j);
        json_put_text(&j, NULL, cases[i].value);
        fclose(j.out);
        assert_string_equal(text, cases[i].want);
        free(text);
    }
    start(&j);
    json_open_object(&j, NULL);
    json_put_text(&j, "a\"b", NULL);
    json_close(&j);
    fclose(j.out);
    assert_string_equal(text, "{\n  \"a\\\"b\": null\n}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nesting_is_written_as_expected),
        cmocka_unit_test(numbers_are_short_exact_and_finite),
        cmocka_unit_test(any_bytes_become_valid_text),
    };

    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
