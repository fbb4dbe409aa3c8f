/* test_tool_options.c - the command line: values to the last character, errors that name them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/options.h"

typedef struct values {
    uint64_t tokens, bytes;
    size_t color;
    bool fast, tokens_given;
    const char *name;
    const char *words[2];
    size_t num_words;
} values;

static const char *const colors[] = {"red", "green", NULL};
static char said[2048]; /* what the last parse wrote, on either stream */

/* Parses while stdout and stderr go to a file. */
static int parse(values *v, char *line)
{
    const option_spec specs[] = {
        {"tokens", 't', OPTION_NUMBER, &v->tokens, "N", "tokens per rank", 1, 1000, NULL,
         &v->tokens_given},
        {"bytes", 'b', OPTION_SIZE, &v->bytes, "SIZE", "bytes", 0, UINT64_MAX, NULL, NULL},
        {"color", 'c', OPTION_CHOICE, &v->color, "COLOR", "a color", 0, 0, colors, NULL},
        {"fast", 0, OPTION_FLAG, &v->fast, NULL, "no brakes", 0, 0, NULL, NULL},
        {"name", 'n', OPTION_TEXT, &v->name, "NAME", "a name", 0, 0, NULL, NULL},
    };
    const option_page page = {"tool", "1.2.3", "Usage: tool [options]", "The end.", specs, 5};
    char *argv[16] = {"tool"}, *state = NULL, *word;
    FILE *file = tmpfile();
    int argc = 1, code, out = dup(1), err = dup(2);
    size_t got;

    memset(v, 0, sizeof(*v));
    for (word = strtok_r(line, " ", &state); word != NULL; word = strtok_r(NULL, " ", &state))
        argv[argc++] = word;
    assert_non_null(file);
    fflush(stdout);
    dup2(fileno(file), 1);
    dup2(fileno(file), 2);
    code = options_parse(&page, argc, argv, v->words, 2, &v->num_words);
    fflush(stdout);
    dup2(out, 1);
    dup2(err, 2);
    close(out);
    close(err);
    rewind(file);
    got = fread(said, 1, sizeof(said) - 1, file);
    said[got] = '\0';
    fclose(file);
    return code;
}

static void values_of_every_kind_are_read(void **state)
{
    char line[] = "-t 42 --bytes=64K one --color green --fast -n x two";
    values v;

    (void)state;
    assert_int_equal(parse(&v, line), -1);
    assert_int_equal(v.tokens, 42);
    assert_int_equal(v.bytes, 65536);
    assert_int_equal(v.color, 1);
    assert_true(v.fast && v.tokens_given);
    assert_string_equal(v.name, "x");
    assert_int_equal(v.num_words, 2);
    assert_string_equal(v.words[1], "two");
    assert_string_equal(said, "");
}

static void sizes_know_letters_and_limits(void **state)
{
    static const struct {
        const char *text;
        int code;
        uint64_t bytes;
    } cases[] = {{"-b 0", -1, 0},
                 {"-b 3k", -1, 3072},
                 {"-b 2M", -1, 2097152},
                 {"-b 1G", -1, 1073741824},
                 {"-b 18446744073709551615", -1, UINT64_MAX},
                 {"-b 18446744073709551616", 2, 0},
                 {"-b 17179869184G", 2, 0},
                 {"-b 1KB", 2, 0},
                 {"-b -1", 2, 0},
                 {"-b 1.5K", 2, 0},
                 {"-b K", 2, 0}};
    char line[64];
    values v;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        strcpy(line, cases[i].text);
        assert_int_equal(parse(&v, line), cases[i].code);
        assert_int_equal(v.bytes, cases[i].bytes);
    }
}

static void errors_name_option_and_value(void **state)
{
    static const struct {
        const char *line, *first, *second;
    } cases[] = {
        {"-t 0", "--tokens", "'0'"},           {"--tokens 1001", "--tokens", "1000"},
        {"-t 5x", "--tokens", "'5x'"},         {"-c blue", "--color", "'blue' is none of red"},
        {"--bogus", "unknown", "--bogus"},     {"-z", "unknown", "-z"},
        {"--name", "--name", "needs a value"}, {"-t", "--tokens", "needs a value"},
        {"--fast=1", "--fast", "no value"},    {"a b c", "unexpected", "'c'"}};
    char line[64];
    values v;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        strcpy(line, cases[i].line);
        assert_int_equal(parse(&v, line), 2);
        assert_non_null(strstr(said, cases[i].first));
        assert_non_null(strstr(said, cases[i].second));
        assert_int_equal(strncmp(said, "tool: ", 6), 0);
    }
}

static void help_shows_every_option(void **state)
{
    char line[] = "--help";
    values v;

    (void)state;
    assert_int_equal(parse(&v, line), 0);
    assert_non_null(strstr(said, "-t, --tokens N"));
    assert_non_null(strstr(said, "    --fast "));
    assert_non_null(strstr(said, "Usage: tool"));
    assert_non_null(strstr(said, "The end."));
    assert_non_null(strstr(said, "--version"));
}

static void version_is_one_line(void **state)
{
    char line[] = "--version";
    values v;

    (void)state;
    assert_int_equal(parse(&v, line), 0);
    assert_string_equal(said, "tool 1.2.3\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind_are_read),
        cmocka_unit_test(sizes_know_letters_and_limits),
        cmocka_unit_test(errors_name_option_and_value),
        cmocka_unit_test(help_shows_every_option),
        cmocka_unit_test(version_is_one_line),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
