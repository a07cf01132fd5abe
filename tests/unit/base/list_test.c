#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int number;
    struct list link;
};

static int number_of(struct list *node)
{
    return node ? container_of(node, struct item, link)->number : 0;
}

static void nodes_come_out_in_order(void **state)
{
    (void)state;
    struct list head;
    struct item a = { .number = 1 }, b = { .number = 2 }, c = { .number = 3 };
    list_init(&head);
    list_push_back(&head, &b.link);
    list_push_back(&head, &c.link);
    list_push_front(&head, &a.link);
    assert_int_equal(number_of(list_pop_front(&head)), 1);
    assert_int_equal(number_of(list_pop_front(&head)), 2);
    assert_int_equal(number_of(list_pop_front(&head)), 3);
    assert_null(list_pop_front(&head));
    assert_true(list_is_empty(&head));
}

static void removing_twice_does_no_harm(void **state)
{
    (void)state;
    struct list head;
    struct item a = { .number = 1 }, b = { .number = 2 };
    list_init(&head);
    list_push_back(&head, &a.link);
    list_push_back(&head, &b.link);
    list_remove(&a.link);
    list_remove(&a.link);
    assert_int_equal(number_of(head.next), 2);
    assert_ptr_equal(head.next->next, &head);
}

static void a_whole_list_moves(void **state)
{
    (void)state;
    struct list from, to;
    struct item a = { .number = 1 }, b = { .number = 2 };
    list_init(&from);
    list_move(&to, &from);
    assert_true(list_is_empty(&to));
    list_push_back(&from, &a.link);
    list_push_back(&from, &b.link);
    list_move(&to, &from);
    assert_true(list_is_empty(&from));
    assert_int_equal(number_of(list_pop_front(&to)), 1);
    assert_int_equal(number_of(list_pop_front(&to)), 2);
    assert_true(list_is_empty(&to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_come_out_in_order),
        cmocka_unit_test(removing_twice_does_no_harm),
        cmocka_unit_test(a_whole_list_moves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
