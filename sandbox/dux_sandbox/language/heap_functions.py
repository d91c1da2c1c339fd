"""What `heapq` does, written in the language of rules itself, on lists in place.

What sinks goes down to a leaf and rises from there, as in Python's own, so that what
compares equal comes out in the same order.
"""

WRITTEN = """
def heap_rise(heap, at, top=0):
    item = heap[at]
    while at > top and item < heap[(at - 1) // 2]:
        heap[at] = heap[(at - 1) // 2]
        at = (at - 1) // 2
    heap[at] = item

def heap_sink(heap, top):
    item, at, below = heap[top], top, 2 * top + 1
    while below < len(heap):
        if below + 1 < len(heap) and not heap[below] < heap[below + 1]:
            below += 1
        heap[at] = heap[below]
        at, below = below, 2 * below + 1
    heap[at] = item
    heap_rise(heap, at, top)

def heapq_heappush(heap, item):
    heap.append(item)
    heap_rise(heap, len(heap) - 1)

def heapq_heappop(heap):
    last = heap.pop()
    return heapq_heapreplace(heap, last) if heap else last

def heapq_heapreplace(heap, item):
    least = heap[0]
    heap[0] = item
    heap_sink(heap, 0)
    return least

def heapq_heappushpop(heap, item):
    if heap and heap[0] < item:
        return heapq_heapreplace(heap, item)
    return item

def heapq_heapify(x):
    for at in reversed(range(len(x) // 2)):
        heap_sink(x, at)

def heapq_nsmallest(n, iterable, key=None):
    return sorted(iterable, key=key)[:max(n, 0)]

def heapq_nlargest(n, iterable, key=None):
    return sorted(iterable, key=key, reverse=True)[:max(n, 0)]
"""
