/* SPDX-License-Identifier: Apache-2.0 */
#include "base/kmalloc.h"
#include "base/rbtree.h"
#include "ktest.h"

#define N 2000

struct item {
    struct rb_node rb;
    uint32_t key;
    bool in;
};

static uint32_t seed = 12345;

static uint32_t next_random(void)
{
    seed = seed * 1664525 + 1013904223;
    return seed >> 8;
}

static void insert(struct rb_root *root, struct item *it)
{
    struct rb_node **link = &root->node, *parent = NULL;
    while (*link) {
        parent = *link;
        link = it->key < rb_entry(parent, struct item, rb)->key ? &parent->left : &parent->right;
    }
    rb_link(&it->rb, parent, link);
    rb_insert_fixup(root, &it->rb);
    it->in = true;
}

/* Black height of the subtree, or -1 when a rule is broken. */
static int check(const struct rb_node *n, const struct rb_node *parent)
{
    if (!n)
        return 0;
    if (n->parent != parent || (n->red && parent && parent->red))
        return -1;
    int l = check(n->left, n), r = check(n->right, n);
    return l < 0 || l != r ? -1 : l + !n->red;
}

static void check_tree(const struct rb_root *root, int want)
{
    KCHECK(!root->node || !root->node->red);
    KCHECK(check(root->node, NULL) >= 0);
    int n = 0;
    const struct item *last = NULL;
    for (struct rb_node *i = rb_first(root); i; i = rb_next(i), n++) {
        const struct item *it = rb_entry(i, struct item, rb);
        KCHECK(!last || last->key <= it->key);
        KCHECK(!last || rb_prev(i) == &last->rb);
        last = it;
    }
    KCHECK_EQ(n, want);
    KCHECK(rb_last(root) == (last ? &last->rb : NULL));
}

KTEST(rbtree_keeps_its_rules_under_random_changes)
{
    struct rb_root root = RB_ROOT_INIT;
    struct item *items = kzalloc(N * sizeof(*items));
    KCHECK(items);
    int count = 0;
    for (int round = 0; round < 4 * N; round++) {
        struct item *it = &items[next_random() % N];
        if (it->in) {
            rb_erase(&root, &it->rb);
            it->in = false;
            count--;
        } else {
            it->key = next_random() % 500; /* many equal ones */
            insert(&root, it);
            count++;
        }
        if (round % 97 == 0)
            check_tree(&root, count);
        if (ktest_failed())
            return;
    }
    for (int i = 0; i < N; i++)
        if (items[i].in) {
            rb_erase(&root, &items[i].rb);
            if (--count % 50 == 0)
                check_tree(&root, count);
        }
    check_tree(&root, 0);
    KCHECK(root.node == NULL);
    kfree(items);
}

KTEST(rbtree_ascending_and_descending_inserts_stay_balanced)
{
    struct rb_root root = RB_ROOT_INIT;
    struct item *items = kzalloc(N * sizeof(*items));
    KCHECK(items);
    for (int i = 0; i < N; i++) {
        items[i].key = (uint32_t)(i < N / 2 ? i : 2 * N - i);
        insert(&root, &items[i]);
    }
    check_tree(&root, N);
    int height = 0;
    for (struct rb_node *n = root.node; n; n = n->right)
        height++;
    KCHECK(height <= 22); /* 2 log2(n + 1) */
    kfree(items);
}
