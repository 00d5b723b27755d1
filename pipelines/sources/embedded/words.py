"""The words that fill a phrasing. Few, so that a small vocabulary holds them."""

NAMES = ("Mia", "Leo", "Ann", "Tom", "Eva", "Sam", "Zoe", "Kai", "Ida", "Ben")
THINGS = ("shells", "coins", "pens", "cards", "books", "eggs", "beads", "stamps", "apples", "nuts")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "October", "December")
