#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stack/modules.h"
#include "stack/unwind.h"

#define PAGE 4096u

static struct modules *read_own(void)
{
    struct modules *m = NULL;
    struct err err;
    assert_int_equal(modules_read(&m, 0, &err), 0);
    return m;
}

/* Room that nothing else comes into. */
static uint8_t *reserve(size_t pages)
{
    void *at = mmap(NULL, pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(at, MAP_FAILED);
    return at;
}

static void map(uint8_t *at, const char *path)
{
    int fd = path ? open(path, O_RDONLY) : -1, flags = MAP_PRIVATE | MAP_FIXED | (path ? 0 : MAP_ANONYMOUS);
    assert_ptr_equal(mmap(at, PAGE, PROT_READ | PROT_EXEC, flags, fd, 0), at);
    if (path) close(fd);
}

static void unmap(uint8_t *at)
{
    assert_ptr_equal(
        mmap(at, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0), at);
}

static bool has(const struct modules *m, const uint8_t *at, const char *name)
{
    const struct module *found = modules_find(m, (uint64_t)(uintptr_t)at);
    return found && strstr(found->path, name);
}

static void what_is_mapped_later_is_added_and_what_goes_stays_known(void **state)
{
    (void)state;
    uint8_t *room = reserve(3);
    struct modules *before = read_own(), *now = NULL, *after = NULL;
    assert_int_equal(modules_read_again(&now, before), MODULES_SAME);
    map(room, "/bin/true");
    assert_int_equal(modules_read_again(&now, before), MODULES_MORE);
    assert_false(has(before, room, "true"));
    assert_true(has(now, room, "true"));
    unmap(room);
    assert_int_equal(modules_read_again(&after, now), MODULES_SAME);
    map(room + PAGE, "/bin/false");
    assert_int_equal(modules_read_again(&after, now), MODULES_MORE);
    assert_true(has(after, room, "true") && has(after, room + PAGE, "false"));
    for (uint32_t i = 1; i < after->count; i++)
        assert_true(after->items[i - 1].limit <= after->items[i].start);
    modules_free(before);
    modules_free(now);
    modules_free(after);
    munmap(room, 3 * PAGE);
}

static void another_file_at_the_same_place_is_another_space(void **state)
{
    (void)state;
    uint8_t *room = reserve(1);
    map(room, "/bin/true");
    struct modules *before = read_own(), *now = NULL, *after = NULL;
    map(room, "/bin/false");
    assert_int_equal(modules_read_again(&now, before), MODULES_OTHER);
    assert_true(has(before, room, "true") && has(now, room, "false"));
    map(room, NULL);
    assert_int_equal(modules_read_again(&after, now), MODULES_OTHER);
    assert_null(modules_find(after, (uint64_t)(uintptr_t)room));
    assert_true(modules_have_code(after, (uint64_t)(uintptr_t)room));
    modules_free(before);
    modules_free(now);
    modules_free(after);
    munmap(room, PAGE);
}

static void code_of_no_file_is_known_and_adjacent_pieces_are_one(void **state)
{
    (void)state;
    uint8_t *room = reserve(5);
    uint64_t at = (uint64_t)(uintptr_t)room;
    map(room + PAGE, NULL);
    struct modules *before = read_own(), *now = NULL;
    assert_false(modules_have_code(before, at));
    assert_true(modules_have_code(before, at + PAGE));
    assert_false(modules_have_code(before, at + 2 * PAGE));
    map(room + 2 * PAGE, NULL);
    unmap(room + PAGE);
    assert_int_equal(modules_read_again(&now, before), MODULES_MORE);
    assert_true(modules_have_code(now, at + PAGE)); /* it was */
    assert_true(modules_have_code(now, at + 2 * PAGE));
    for (uint32_t i = 1; i < now->made_count; i++) assert_true(now->made[i - 1].limit < now->made[i].start);
    modules_free(before);
    modules_free(now);
    munmap(room, 5 * PAGE);
}

static void tables_of_what_stays_are_taken_over(void **state)
{
    (void)state;
    uint8_t *room = reserve(1);
    struct modules *before = read_own(), *now = NULL;
    struct unwind_space *first, *second;
    struct unwind_budget budget = UNWIND_PRESET_BUDGET;
    struct unwind_space_options o = { .modules = before, .budget = &budget };
    assert_int_equal(unwind_space_make(&first, &o, NULL), 0);
    uint32_t rows = unwind_space_rows(first);
    assert_true(rows > 1000);
    map(room, "/bin/true"); /* its first page has no frames */
    assert_int_equal(modules_read_again(&now, before), MODULES_MORE);
    o = (struct unwind_space_options){ .modules = now, .earlier = first, .budget = &budget };
    uint32_t left = budget.rows;
    assert_int_equal(unwind_space_make(&second, &o, NULL), 0);
    assert_int_equal(unwind_space_rows(first), 0);
    assert_true(unwind_space_rows(second) >= rows);
    assert_true(left - budget.rows < 1000); /* of /bin/true alone, if at all */
    unwind_space_free(first);
    unwind_space_free(second);
    modules_free(before);
    modules_free(now);
    munmap(room, PAGE);
}

static void making_tables_ends_when_it_is_told_to(void **state)
{
    (void)state;
    struct modules *m = read_own();
    struct unwind_space *s;
    struct err err;
    const _Atomic bool stop = true;
    const struct unwind_space_options o = { .modules = m, .stop = &stop };
    assert_int_equal(unwind_space_make(&s, &o, &err), -1);
    assert_non_null(strstr(err.text, "stopped"));
    modules_free(m);
}

/* Two segments that share the first page of the file: the one that is mapped executable counts. */
static void code_that_shares_a_page_of_the_file_has_its_own_address(void **state)
{
    (void)state;
    struct {
        Elf64_Ehdr head;
        Elf64_Phdr segments[2];
    } file = { .head = { .e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
                         .e_machine = EM_X86_64,
                         .e_phoff = sizeof(Elf64_Ehdr),
                         .e_phentsize = sizeof(Elf64_Phdr),
                         .e_phnum = 2 },
               .segments = { { .p_type = PT_LOAD, .p_flags = PF_R, .p_filesz = 0x690 },
                             { .p_type = PT_LOAD,
                               .p_flags = PF_R | PF_X,
                               .p_offset = 0x690,
                               .p_vaddr = 0x1690,
                               .p_filesz = 0x200 } } };
    struct elf_image image;
    uint64_t address = 0;
    assert_int_equal(elf_open_memory(&image, &file, sizeof(file), NULL), 0);
    assert_true(elf_address_of(&image, 0, &address));
    assert_int_equal(address, 0x1000);
    assert_false(elf_address_of(&image, 0x1000, &address));
    elf_close(&image);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_mapped_later_is_added_and_what_goes_stays_known),
        cmocka_unit_test(another_file_at_the_same_place_is_another_space),
        cmocka_unit_test(code_of_no_file_is_known_and_adjacent_pieces_are_one),
        cmocka_unit_test(tables_of_what_stays_are_taken_over),
        cmocka_unit_test(making_tables_ends_when_it_is_told_to),
        cmocka_unit_test(code_that_shares_a_page_of_the_file_has_its_own_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
