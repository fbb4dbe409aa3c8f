/* options.c - getopt_long driven by the table; every number is read to its last character. */
#include "common/options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SPECS 48
#define FIRST_CODE 256 /* what getopt returns for specs[0]; letters are below */
#define HELP_COLUMN 28

int options_wrong(const option_page *page, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", page->program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\ntry '%s --help'\n", page->program);
    return 2;
}

/* ---- Values ---------------------------------------------------------------------------------- */

/* Digits, then with sizes perhaps K, M or G. */
static bool read_count(const char *text, bool suffix, uint64_t *value_out)
{
    static const char letters[] = "KMG";
    const char *letter;
    char *end;
    unsigned long long value;
    unsigned shift = 0;

    if (text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0)
        return false;
    if (suffix && *end != '\0') {
        letter = strchr(letters, *end >= 'a' && *end <= 'z' ? *end - ('a' - 'A') : *end);
        if (letter == NULL)
            return false;
        shift = 10u * (unsigned)(letter - letters + 1);
        end++;
    }
    if (*end != '\0' || value > (UINT64_MAX >> shift))
        return false;
    *value_out = (uint64_t)value << shift;
    return true;
}

static int read_choice(const option_page *page, const option_spec *spec, const char *text)
{
    char list[512] = "";
    size_t i, used = 0;

    for (i = 0; spec->choices[i] != NULL; i++) {
        int n;

        if (strcmp(spec->choices[i], text) == 0) {
            *(size_t *)spec->value = i;
            return -1;
        }
        n = snprintf(list + used, sizeof(list) - used, "%s%s", i == 0 ? "" : ", ",
                     spec->choices[i]);
        used += n > 0 && (size_t)n < sizeof(list) - used ? (size_t)n : 0;
    }
    return options_wrong(page, "option --%s: '%s' is none of %s", spec->name, text, list);
}

static int read_value(const option_page *page, const option_spec *spec, const char *text)
{
    uint64_t value;

    if (spec->given != NULL)
        *spec->given = true;
    switch (spec->kind) {
    case OPTION_FLAG:
        *(bool *)spec->value = true;
        return -1;
    case OPTION_TEXT:
        *(const char **)spec->value = text;
        return -1;
    case OPTION_CHOICE:
        return read_choice(page, spec, text);
    case OPTION_NUMBER:
    case OPTION_SIZE:
        break;
    }
    if (!read_count(text, spec->kind == OPTION_SIZE, &value) || value < spec->low ||
        value > spec->high)
        return options_wrong(page, "option --%s: '%s' is no %s from %llu to %llu", spec->name, text,
                             spec->kind == OPTION_SIZE ? "size" : "number",
                             (unsigned long long)spec->low, (unsigned long long)spec->high);
    *(uint64_t *)spec->value = value;
    return -1;
}

/* ---- The command line ------------------------------------------------------------------------ */

typedef struct getopt_tables {
    struct option longs[MAX_SPECS + 3];
    char shorts[2 * MAX_SPECS + 8];
} getopt_tables;

static void make_tables(const option_page *page, getopt_tables *t)
{
    size_t i, at = 0;

    memset(t, 0, sizeof(*t));
    t->shorts[at++] = ':'; /* tell a missing value from an unknown option */
    t->shorts[at++] = 'h';
    for (i = 0; i < page->count; i++) {
        const option_spec *spec = &page->specs[i];
        int argument = spec->kind == OPTION_FLAG ? no_argument : required_argument;

        t->longs[i] = (struct option){spec->name, argument, NULL, FIRST_CODE + (int)i};
        if (spec->letter == 0)
            continue;
        t->shorts[at++] = spec->letter;
        if (argument == required_argument)
            t->shorts[at++] = ':';
    }
    t->longs[i] = (struct option){"help", no_argument, NULL, 'h'};
    t->longs[i + 1] = (struct option){"version", no_argument, NULL, FIRST_CODE + MAX_SPECS};
}

static const option_spec *find_spec(const option_page *page, int code)
{
    size_t i;

    if (code >= FIRST_CODE)
        return &page->specs[code - FIRST_CODE];
    for (i = 0; i < page->count && page->specs[i].letter != code; i++)
        continue;
    return i < page->count ? &page->specs[i] : NULL;
}

static int wrong_option(const option_page *page, int code, char **argv)
{
    const option_spec *spec;

    if (code == ':') {
        spec = find_spec(page, optopt);
        return options_wrong(page, "option --%s needs a value", spec != NULL ? spec->name : "?");
    }
    if (optopt >= FIRST_CODE && (size_t)(optopt - FIRST_CODE) < page->count)
        return options_wrong(page, "option --%s takes no value", find_spec(page, optopt)->name);
    if (optopt > 0 && optopt < FIRST_CODE && strncmp(argv[optind - 1], "--", 2) != 0)
        return options_wrong(page, "unknown option -%c", optopt);
    return options_wrong(page, "unknown option %s", argv[optind - 1]);
}

int options_parse(const option_page *page, int argc, char **argv, const char **words,
                  size_t max_words, size_t *num_words_out)
{
    getopt_tables tables;
    int code, status;
    size_t count = 0;

    make_tables(page, &tables);
    optind = 0; /* glibc: start anew */
    opterr = 0;
    while ((code = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) != -1) {
        if (code == 'h') {
            options_help(page, stdout);
            return 0;
        }
        if (code == FIRST_CODE + MAX_SPECS) {
            printf("%s %s\n", page->program, page->version);
            return 0;
        }
        if (code == '?' || code == ':')
            return wrong_option(page, code, argv);
        status = read_value(page, find_spec(page, code), optarg);
        if (status >= 0)
            return status;
    }
    for (; optind < argc; optind++) {
        if (count == max_words)
            return options_wrong(page, "unexpected argument '%s'", argv[optind]);
        words[count++] = argv[optind];
    }
    *num_words_out = count;
    return -1;
}

static void help_line(FILE *out, char letter, const char *name, const char *meta, const char *help)
{
    char left[64];
    int width;

    width = snprintf(left, sizeof(left), "  %c%c%s --%s%s%s", letter != 0 ? '-' : ' ',
                     letter != 0 ? letter : ' ', letter != 0 ? "," : " ", name,
                     meta == NULL ? "" : " ", meta == NULL ? "" : meta);
    if (width > HELP_COLUMN - 2)
        fprintf(out, "%s\n%*s%s\n", left, HELP_COLUMN, "", help);
    else
        fprintf(out, "%-*s%s\n", HELP_COLUMN, left, help);
}

void options_help(const option_page *page, FILE *out)
{
    size_t i;

    if (page->usage != NULL)
        fprintf(out, "%s\n\n", page->usage);
    for (i = 0; i < page->count; i++)
        help_line(out, page->specs[i].letter, page->specs[i].name, page->specs[i].meta,
                  page->specs[i].help);
    help_line(out, 'h', "help", NULL, "this text");
    help_line(out, 0, "version", NULL, "the version");
    if (page->after != NULL)
        fprintf(out, "\n%s\n", page->after);
}
