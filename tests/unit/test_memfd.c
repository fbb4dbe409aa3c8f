/* test_memfd.c - shared memory keeps its size, and liars are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/memfd.h"

enum { BYTES = 5000 }; /* no whole pages */

static int make(void)
{
    int fd = -1;

    assert_int_equal(epx_memfd_create("test", BYTES, &fd), EPX_OK);
    assert_true(fd >= 0);
    return fd;
}

static void children_share_it_and_it_starts_zeroed(void **state)
{
    unsigned char *base = NULL, zero[BYTES] = {0};
    int fd = make(), status;
    pid_t child;

    (void)state;
    assert_int_equal(epx_memfd_map("test", fd, BYTES, (void **)&base), EPX_OK);
    assert_memory_equal(base, zero, BYTES);
    child = fork();
    assert_int_not_equal(child, -1);
    if (child == 0) {
        base[BYTES - 1] = 7;
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(base[BYTES - 1], 7);
    epx_mem_release(base, BYTES);
    close(fd);
}

static void nobody_can_resize_or_unseal_it(void **state)
{
    void *base = NULL;
    int fd = make();

    (void)state;
    assert_int_equal(epx_memfd_map("test", fd, BYTES, &base), EPX_OK);
    assert_int_equal(ftruncate(fd, 0), -1);
    assert_int_equal(ftruncate(fd, 2 * BYTES), -1);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE), -1);
    memset(base, 0xab, BYTES); /* SIGBUS here if the seal did not hold */
    epx_mem_release(base, BYTES);
    close(fd);
}

static void it_does_not_cross_exec(void **state)
{
    int fd = make();

    (void)state;
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
}

static void a_size_that_the_peer_lied_about_is_refused(void **state)
{
    int fd = make(), untouched = 0;
    void *base = &untouched;

    (void)state;
    assert_int_equal(epx_memfd_map("test", fd, 10000, &base), EPX_ERR_MISMATCH);
    assert_non_null(strstr(epx_last_error(), "10000"));
    assert_non_null(strstr(epx_last_error(), "5000"));
    assert_ptr_equal(base, &untouched);
    close(fd);
}

static void memory_that_could_shrink_is_refused(void **state)
{
    int plain = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *base = NULL;
    size_t bytes = 1;

    (void)state;
    assert_int_equal(ftruncate(plain, BYTES), 0);
    assert_int_equal(epx_memfd_map("test", plain, BYTES, &base), EPX_ERR_MISMATCH);
    assert_int_equal(fcntl(plain, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(epx_memfd_check("test", plain, &bytes), EPX_ERR_MISMATCH);
    assert_int_equal(epx_memfd_check("test", STDERR_FILENO, &bytes), EPX_ERR_MISMATCH);
    assert_int_equal(bytes, 1);
    assert_null(base);
    close(plain);
}

static void sizes_of_nothing_and_of_too_much_are_refused(void **state)
{
    int fd = -5;

    (void)state;
    assert_int_equal(epx_memfd_create("test", 0, &fd), EPX_ERR_INVALID);
    assert_int_equal(epx_memfd_create("test", SIZE_MAX, &fd), EPX_ERR_INVALID);
    assert_int_equal(fd, -5);
}

static void a_mapping_is_counted_and_can_be_told_to_fail(void **state)
{
    uint64_t live = epx_mem_read().live;
    void *base = NULL;
    int fd = make();

    (void)state;
    epx_mem_fail_at(1);
    assert_int_equal(epx_memfd_map("test", fd, BYTES, &base), EPX_ERR_NO_MEMORY);
    assert_null(base);
    assert_int_equal(epx_mem_read().live, live);
    assert_int_equal(epx_memfd_map("test", fd, BYTES, &base), EPX_OK);
    assert_int_equal(epx_mem_read().live, live + 1);
    epx_mem_release(base, BYTES);
    assert_int_equal(epx_mem_read().live, live);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(children_share_it_and_it_starts_zeroed),
        cmocka_unit_test(nobody_can_resize_or_unseal_it),
        cmocka_unit_test(it_does_not_cross_exec),
        cmocka_unit_test(a_size_that_the_peer_lied_about_is_refused),
        cmocka_unit_test(memory_that_could_shrink_is_refused),
        cmocka_unit_test(sizes_of_nothing_and_of_too_much_are_refused),
        cmocka_unit_test(a_mapping_is_counted_and_can_be_told_to_fail),
    };

    return cmocka_run_group_tests_name("memfd", tests, NULL, NULL);
}
